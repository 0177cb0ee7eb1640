package nerdctl

import "strings"

// RegistryOf returns the registry that an image's name begins with, as docker reads it
// (splitDockerDomain in github.com/distribution/reference); empty for what is no image of a registry.
func RegistryOf(image string) string {
	if strings.Contains(image, "://") || strings.HasPrefix(image, "/") || strings.HasPrefix(image, ".") || strings.HasPrefix(image, "oci-archive:") {
		return ""
	}
	first, _, found := strings.Cut(image, "/")
	if !found || !strings.ContainsAny(first, ".:") && first != "localhost" && strings.ToLower(first) == first {
		return "docker.io"
	}
	return first
}
