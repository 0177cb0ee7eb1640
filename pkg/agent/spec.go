// Package agent is what stands between a client and an engine: the agent's socket, its
// protocol, and the specification that a client starts it with.
//
// It must not know how the engine's daemons are run (package engine does) nor what any
// command means.
package agent

import (
	"encoding/json"
	"fmt"
	"time"

	"github.com/linnet-dev/linnet/pkg/host"
)

// Version is the version of this build of linnet, client and agent alike. It is set by the
// linker.
var Version = "dev"

// Spec is all that the agent has to know; the client writes it when it starts the agent.
type Spec struct {
	// Layout says where everything is.
	Layout host.Layout `json:"layout"`
	// Snapshotter is containerd's snapshotter for images and containers.
	Snapshotter string `json:"snapshotter"`
	// Subnet is the pool (an IPv4 CIDR) that the default bridge takes a /24 from.
	Subnet string `json:"subnet"`
	// StopTimeout is how long a container may take to end before it is killed.
	StopTimeout time.Duration `json:"stopTimeout"`
	// LogSize is the size in bytes at which a daemon's log is rotated; LogFiles is how many
	// files of each log are kept, the current one included.
	LogSize  int64 `json:"logSize"`
	LogFiles int   `json:"logFiles"`
	// LogLevel is debug, info, warn or error.
	LogLevel string `json:"logLevel"`
	// CacheBytes and CacheAge bound BuildKit's cache, but for cache mounts: those go by
	// CacheMountAge alone, and not at all where it is 0.
	CacheBytes    int64         `json:"cacheBytes"`
	CacheAge      time.Duration `json:"cacheAge"`
	CacheMountAge time.Duration `json:"cacheMountAge,omitempty"`
	// InsecureRegistries are host[:port] reached over plain HTTP or unverified TLS.
	InsecureRegistries []string `json:"insecureRegistries,omitempty"`
	// HostsDirs are the directories of registry host configurations.
	HostsDirs []string `json:"hostsDirs,omitempty"`
	// DockerSocket reports whether clients of Docker's API are served; DockerIdle is how long dockerd goes on without
	// a request and without a running container, 0 is for ever.
	DockerSocket bool          `json:"dockerSocket,omitempty"`
	DockerIdle   time.Duration `json:"dockerIdle,omitempty"`
	// GuestSocket is where the agent of a virtual machine listens; empty means that this is
	// no guest, and that published ports are open on the host by themselves.
	GuestSocket string `json:"guestSocket,omitempty"`
	// Outside is what a guest has of its clients' host. Natively it is empty.
	Outside Outside `json:"outside,omitzero"`
}

// Outside is the host that a virtual machine's clients run on.
type Outside struct {
	// Home is LINNET_HOME there, which the machine does not see.
	Home string `json:"home"`
	// Shares are the directories that are in the machine at the same path; below each of them all is the host's.
	Shares []string `json:"shares,omitempty"`
}

// Layout is where linnet keeps its files there.
func (o Outside) Layout() host.Layout { return host.Layout{Home: o.Home} }

// Write writes the specification, whole or not at all.
func (s Spec) Write() error {
	text, err := json.MarshalIndent(s, "", "  ")
	if err != nil {
		return fmt.Errorf("writing the engine's specification: %w", err)
	}
	return host.WriteFile(s.Layout.Spec(), text, 0o600)
}

// ReadSpec reads a specification.
func ReadSpec(path string) (Spec, error) {
	var s Spec
	text, err := host.ReadOwn(path)
	if err != nil {
		return s, fmt.Errorf("reading the engine's specification: %w", err)
	}
	if err := json.Unmarshal(text, &s); err != nil {
		return s, fmt.Errorf("reading the engine's specification %s: %w", path, err)
	}
	return s, nil
}
