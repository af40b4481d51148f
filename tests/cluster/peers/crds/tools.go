//go:build tools

// Package crds pins what makes the Prometheus Operator's CRDs from its published types, as its own releases are made.
package crds

import (
	_ "github.com/prometheus-operator/prometheus-operator/pkg/apis/monitoring/v1"
	_ "sigs.k8s.io/controller-tools/cmd/controller-gen"
)
