//go:build !linux && !darwin

package settings

// hostMemory is the host's memory in bytes; here it is not known.
func hostMemory() int64 { return 0 }
