// Command bundle-validate holds a bundle for the Operator Lifecycle Manager against the rules of operator-framework's own
// library: those of every bundle, those of OperatorHub, and those for the objects in it. It prints errors and warnings, and
// fails when there is one of either. The library's look for removed APIs is left out: it goes by the resource's name alone,
// so that it takes autoscaling/v2 for v2beta1.
package main

import (
	"fmt"
	"os"

	"github.com/operator-framework/api/pkg/manifests"
	"github.com/operator-framework/api/pkg/validation"
)

func main() {
	if len(os.Args) != 2 {
		fmt.Fprintln(os.Stderr, "usage: bundle-validate FOLDER")
		os.Exit(2)
	}
	bundle, err := manifests.GetBundleFromDir(os.Args[1])
	if err != nil {
		fmt.Fprintln(os.Stderr, "reading the bundle:", err)
		os.Exit(1)
	}
	validators := validation.DefaultBundleValidators.WithValidators(
		validation.OperatorHubV2Validator, validation.StandardCapabilitiesValidator, validation.StandardCategoriesValidator,
		validation.ObjectValidator, validation.GoodPracticesValidator)
	clean := true
	for _, result := range validators.Validate(bundle.ObjectsToValidate()...) {
		for _, found := range append(result.Errors, result.Warnings...) {
			fmt.Printf("%s: %s\n", result.Name, found.Error())
			clean = false
		}
	}
	if !clean {
		os.Exit(1)
	}
}
