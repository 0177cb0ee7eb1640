//go:build mend

package imgutil

import (
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/containerd/nerdctl/v2/pkg/labels"
)

// addHealthCheckToImageConfig hands an image's health check on as a label, and no label of the image as its health check.
func addHealthCheckToImageConfig(content []byte, config *ocispec.ImageConfig) error {
	delete(config.Labels, labels.HealthCheck)
	return unmendedaddHealthCheckToImageConfig(content, config)
}
