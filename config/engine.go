package config

import _ "embed" // the templates below

// Templates of what the engine's daemons read, rendered by package engine. Two functions
// are theirs: toml and json write a value in that format.
var (
	//go:embed containerd.toml
	ContainerdTOML string
	//go:embed buildkitd.toml
	BuildkitdTOML string
	//go:embed nerdctl.toml
	NerdctlTOML string
	// DockerdJSON has what dockerd is told: JSON takes no comment, package engine says why.
	//go:embed dockerd.json
	DockerdJSON string
	// BridgeConflist is the CNI configuration of the default network.
	//go:embed bridge.conflist
	BridgeConflist string
)
