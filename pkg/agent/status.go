package agent

import (
	"time"

	"github.com/linnet-dev/linnet/pkg/agent/agentpb"
	"github.com/linnet-dev/linnet/pkg/guest"
)

// Describe puts what an agent says of itself and its daemons into a status; socket is where
// the agent was reached.
func Describe(s *guest.Status, info *agentpb.InfoReply, socket string) {
	s.State = "running"
	started := time.Unix(0, info.GetStartedUnixNano())
	s.StartedAt, s.UptimeSeconds = &started, int64(time.Since(started).Seconds())
	s.Network = guest.Network{Bridge: info.GetBridge(), Subnet: info.GetSubnet()}
	s.Versions = map[string]string{"agent": info.GetVersion()}
	s.Daemons = append(s.Daemons, guest.Daemon{Name: "agent", State: "running", PID: int(info.GetPid()), Socket: socket})
	for _, d := range info.GetDaemons() {
		s.Daemons = append(s.Daemons, guest.Daemon{
			Name: d.GetName(), State: d.GetState(), PID: int(d.GetPid()), Socket: d.GetSocket(),
			Restarts: int(d.GetRestarts()), Adopted: d.GetAdopted(), LastError: d.GetLastError(),
		})
		if d.GetState() != "running" && d.GetState() != guest.Asleep && s.State == "running" {
			s.State = d.GetState()
		}
	}
	if s.State == "waiting" {
		s.State = "degraded"
	}
}
