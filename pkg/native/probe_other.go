//go:build !linux

package native

// The native engine runs on Linux alone; elsewhere its pure parts are tested.

func readOnly(string) bool { return false }

func release() string { return "" }
