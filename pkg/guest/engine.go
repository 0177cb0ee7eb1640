package guest

import (
	"context"
	"time"
)

// Engine is what stands behind a Guest, as a person handles it: `linnet engine ...`.
type Engine interface {
	// Start makes it run; nothing happens when it does already.
	Start(ctx context.Context) error
	// Stop stops every container, then the daemons. Containers, images and volumes stay.
	// timeout is how long a container may take to end; 0 takes the setting. It returns
	// whether anything ran.
	Stop(ctx context.Context, timeout time.Duration) (ran bool, err error)
	// Running reports whether it would answer a command now; it starts nothing.
	Running(ctx context.Context) bool
	// Status says what runs; it starts nothing.
	Status(ctx context.Context) (Status, error)
	// Logs lists the logs there may be.
	Logs() []Log
	// Reset stops the engine and removes everything it keeps: containers, images,
	// volumes, networks, caches. Nothing else on the machine is touched.
	Reset(ctx context.Context) error
}

// Status is what an engine says of itself.
type Status struct {
	// Backend is "native" or "lima", State "running", "starting", "degraded" or "stopped".
	Backend string `json:"backend"`
	State   string `json:"state"`
	// Home is the directory of everything persistent.
	Home string `json:"home"`
	// Versions are by component, as they run.
	Versions map[string]string `json:"versions,omitempty"`
	// Daemons are the engine's processes.
	Daemons []Daemon `json:"daemons"`
	// StartedAt is when the agent started; UptimeSeconds how long ago that is.
	StartedAt     *time.Time `json:"startedAt,omitempty"`
	UptimeSeconds int64      `json:"uptimeSeconds"`
	// Network is the default network.
	Network Network `json:"network"`
	// Ports are what containers have published on this host, as the host has opened them; a native
	// engine has the kernel do that, and lists none.
	Ports []Port `json:"ports,omitempty"`
	// Disk is in bytes, by kind: images, buildCache, volumes, total, free.
	Disk map[string]int64 `json:"diskBytes"`
	// Shares are the directories of this host that a virtual machine reaches, ":ro" behind those that
	// it cannot change; Hidden are those in them that it does not see; Boundary says what that means.
	// Empty natively, where there is no boundary.
	Shares   []string `json:"shares,omitempty"`
	Hidden   []string `json:"hidden,omitempty"`
	Boundary string   `json:"boundary,omitempty"`
}

// Daemon is one process of an engine.
type Daemon struct {
	Name     string `json:"name"`
	State    string `json:"state"`
	PID      int    `json:"pid,omitempty"`
	Socket   string `json:"socket"`
	Restarts int    `json:"restarts"`
	// Adopted says that it was running before the agent was.
	Adopted   bool   `json:"adopted"`
	LastError string `json:"lastError,omitempty"`
}

// Network is an interface of this host and its subnet.
type Network struct {
	Bridge string `json:"bridge,omitempty"`
	Subnet string `json:"subnet,omitempty"`
}

// Port is a published port.
type Port struct {
	// Owner is the container and its network, Protocol "tcp", "udp" or "sctp".
	Owner    string `json:"owner"`
	Protocol string `json:"protocol"`
	// Host is where it listens on this host, Target where connections go: ip:port.
	Host   string `json:"host"`
	Target string `json:"target"`
	// Error is why it is not open; empty when it is.
	Error string `json:"error,omitempty"`
}

// Log is a log file.
type Log struct {
	Name, Path string
	// InGuest says that the file is in the guest, which has to run for it to be read; else it is
	// on this host.
	InGuest bool
}
