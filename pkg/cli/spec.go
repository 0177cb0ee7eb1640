package cli

import (
	"time"

	"github.com/linnet-dev/linnet/pkg/agent"
	"github.com/linnet-dev/linnet/pkg/host"
	"github.com/linnet-dev/linnet/pkg/settings"
)

// engineSpec is what the settings mean to the agent.
func engineSpec(l host.Layout, s *settings.Settings) agent.Spec {
	return agent.Spec{
		Layout:             l,
		Snapshotter:        string(s.Engine.Snapshotter),
		Subnet:             s.Engine.Subnet.String(),
		StopTimeout:        time.Duration(s.Engine.StopTimeout),
		LogSize:            int64(s.Engine.LogSize),
		LogFiles:           int(s.Engine.LogFiles),
		LogLevel:           string(s.Log.Level),
		CacheBytes:         int64(s.Build.CacheSize),
		CacheAge:           time.Duration(s.Build.CacheAge),
		CacheMountAge:      time.Duration(s.Build.CacheMountAge),
		InsecureRegistries: s.Engine.Registries.Insecure,
		HostsDirs:          s.Engine.HostsDirs,
		DockerSocket:       s.Docker.Socket == settings.On,
		DockerIdle:         time.Duration(s.Docker.Idle),
	}
}
