// Package main runs trust-manager's controller as trust-manager's own program does, which listens on all addresses:
// its defaults, without a leader election, metrics, probes and webhook, and without limits of the client.
package main

import (
	"flag"
	"log"

	"github.com/cert-manager/trust-manager/pkg/apis/trust/v1alpha1"
	"github.com/cert-manager/trust-manager/pkg/bundle"
	"github.com/cert-manager/trust-manager/pkg/bundle/controller"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/kubernetes/scheme"
	"k8s.io/klog/v2"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/metrics/server"
)

func main() {
	namespace := flag.String("namespace", "", "of the sources")
	// --kubeconfig is a flag of the library.
	flag.Parse()
	ctrl.SetLogger(klog.Background())
	if err := run(controller.Options{Namespace: *namespace}); err != nil {
		log.Fatal(err)
	}
}

func run(options controller.Options) error {
	types := runtime.NewScheme()
	if err := scheme.AddToScheme(types); err != nil {
		return err
	}
	if err := v1alpha1.AddToScheme(types); err != nil {
		return err
	}
	config, err := ctrl.GetConfig()
	if err != nil {
		return err
	}
	manager, err := ctrl.NewManager(config, ctrl.Options{
		Scheme:                 types,
		HealthProbeBindAddress: "0",
		Metrics:                server.Options{BindAddress: "0"},
		Cache:                  bundle.CacheOpts(options),
	})
	if err != nil {
		return err
	}
	ctx := ctrl.SetupSignalHandler()
	if err := bundle.SetupWithManager(ctx, manager, options); err != nil {
		return err
	}
	return manager.Start(ctx)
}
