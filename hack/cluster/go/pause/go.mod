// The process that holds a pod's namespaces; standard library only.
module stompbroker.dev/hack/cluster/pause

go 1.26
