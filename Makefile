# What people type. The work is in scripts under hack/, each runnable by itself.
SHELL := /bin/bash
.DEFAULT_GOAL := help
.PHONY: help local demo down test lint test-unit test-integration test-e2e faults bench bench-operator bench-engines fmt generate images reproduce sbom chart up clean

help: ## This list
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / { printf "  %-18s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

local: ## One broker on this machine, without Kubernetes: make local MANIFEST=examples/minimal.yaml
	@hack/local $(MANIFEST)

demo: ## The story: a three-zone cluster, the operator, two brokers, real clients (KUBECONFIG set: on that cluster)
	@hack/demo/run

down: ## Stop the cluster of demo and test, and leave nothing behind (KUBECONFIG set: remove the demo from that cluster)
	@hack/demo/down

test: ## Everything: lint, unit, faults, integration, end to end
	@hack/test/run lint unit faults integration e2e

lint: ## Formatting, clippy, dependencies, shell scripts, chart, generated files
	@hack/test/run lint

test-unit: ## Tests that need no cluster
	@hack/test/run unit

test-integration: ## The operator on a real API server
	@hack/test/run integration

test-e2e: ## The demo's story and its disturbances on the real cluster
	@hack/test/run e2e

faults: ## Kills and cuts for ten minutes with each engine, and a judge: make faults MINUTES=10
	@hack/faults --minutes $(or $(MINUTES),10)

bench: ## Figures: times, memory, API writes, image sizes
	@hack/bench/run

bench-operator: ## The operator alone with 1,000 StompBrokers: time, processor, writes, memory, rest, restart
	@hack/bench/operator.sh

bench-engines: ## Throughput of three pods with each engine, and of a RabbitMQ cluster alone
	@hack/bench/engines

fmt: ## Format the Rust code
	@cargo fmt

generate: ## CRD, references, alerts, dashboards, deploy/, golden files
	@hack/generate

images: ## Both images as OCI archives; prints paths and sizes
	@hack/images/build

reproduce: ## Build the images twice, in two places, and compare every byte
	@hack/images/reproduce

sbom: ## What is in the images, as CycloneDX
	@hack/images/sbom

up: ## The three-zone cluster with the operator and RabbitMQ, without the story
	@hack/demo/install

chart: ## Lint the chart and compare what it renders with its golden files
	@hack/test/chart

clean: ## Remove what builds left in the caches; the cluster must be down
	@hack/clean
