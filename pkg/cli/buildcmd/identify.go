package buildcmd

import (
	"github.com/linnet-dev/linnet/pkg/build/options"
	"github.com/linnet-dev/linnet/pkg/cli"
	"github.com/linnet-dev/linnet/pkg/settings"
)

// identify says which project a build is of, by the settings.
func identify(env *cli.Env, o *options.Options, h options.Host) error {
	s, err := env.Settings()
	if err != nil {
		return err
	}
	o.Project = string(s.Build.Project)
	o.Identify(h, s.Build.CacheMounts == settings.MountsShared)
	return nil
}
