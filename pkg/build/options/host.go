package options

import (
	"io"
	"path/filepath"
	"strings"
)

// Host is what a build asks of the machine that it was asked for on.
type Host struct {
	// Dir is the working directory, absolute: what relative paths are relative to.
	Dir string
	// Home is what a leading ~ stands for; empty leaves it alone.
	Home string
	// LookupEnv looks a variable up, as os.LookupEnv does.
	LookupEnv func(name string) (string, bool)
	// Stdin is a context or a Dockerfile that is given as "-".
	Stdin io.Reader
	// Stdout takes a result whose destination is "-".
	Stdout io.Writer
	// EnvProgram is linnet-env for the engine's architecture. Only steps that want a secret as a variable
	// need it.
	EnvProgram string
}

// Abs is a path of the host, as the user means it.
func (h Host) Abs(path string) string {
	switch {
	case h.Home == "":
	case path == "~":
		path = h.Home
	case strings.HasPrefix(path, "~/"):
		path = filepath.Join(h.Home, path[2:])
	}
	if filepath.IsAbs(path) {
		return path
	}
	return filepath.Join(h.Dir, path)
}

// Env is the value of a variable, empty where there is none.
func (h Host) Env(name string) string {
	if h.LookupEnv == nil {
		return ""
	}
	value, _ := h.LookupEnv(name)
	return value
}
