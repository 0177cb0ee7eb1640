package guest

// Service is a daemon of the engine that speaks on a socket in the guest.
type Service string

// The services of an engine.
const (
	Containerd Service = "containerd"
	BuildKit   Service = "buildkit"
	Docker     Service = "docker" // runs on demand
)

// services are all of them, each after those that it needs, with the name of the daemon: of its program, its socket and its log.
var services = [...]struct {
	service Service
	daemon  string
}{
	{Containerd, "containerd"},
	{BuildKit, "buildkitd"},
	{Docker, "dockerd"},
}

// Services are all services of an engine, each after those that it needs.
func Services() (all []Service) {
	for _, s := range services {
		all = append(all, s.service)
	}
	return all
}

// Daemon is the name of a service's program, of its socket and its log; "" if there is no such service.
func (s Service) Daemon() string {
	for _, known := range services {
		if known.service == s {
			return known.daemon
		}
	}
	return ""
}

// Asleep is the state of a daemon that runs on demand, while no client wants it.
const Asleep = "asleep"

// AgentLog is the log of the engine's supervisor.
const AgentLog = "agent"

// EngineLogs are the names of the logs of an engine's own processes.
func EngineLogs() []string {
	names := []string{AgentLog}
	for _, s := range services {
		names = append(names, s.daemon)
	}
	return names
}
