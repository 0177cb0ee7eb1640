package buildcmd

import (
	"testing"

	"github.com/spf13/pflag"

	"github.com/linnet-dev/linnet/pkg/build/options"
)

func TestEveryFlagOfDockersAndNerdctlsBuildIsTaken(t *testing.T) {
	flags := pflag.NewFlagSet("build", pflag.ContinueOnError)
	new(values).add(flags)
	known := map[string]bool{"builder": true} // buildx has it for all its commands
	for _, want := range options.Flags {
		known[want.Name] = true
		got := flags.Lookup(want.Name)
		if got == nil {
			t.Errorf("--%s (%s) is missing", want.Name, want.From)
			continue
		}
		if got.Shorthand != want.Shorthand {
			t.Errorf("--%s: the shorthand is %q, want %q", want.Name, got.Shorthand, want.Shorthand)
		}
		if takes := got.NoOptDefVal == ""; takes != want.Value {
			t.Errorf("--%s: it takes a value: %t, want %t", want.Name, takes, want.Value)
		}
	}
	flags.VisitAll(func(f *pflag.Flag) {
		if !known[f.Name] {
			t.Errorf("--%s is no other command's", f.Name)
		}
	})
}
