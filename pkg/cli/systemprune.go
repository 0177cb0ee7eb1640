package cli

import (
	"bufio"
	"fmt"
	"strings"

	"github.com/linnet-dev/linnet/pkg/nerdctl"
)

func isSystemPrune(inv *nerdctl.Invocation) bool { return nerdctl.Key(inv.Path) == "system prune" }

// systemPrune is nerdctl's `system prune` by its parts, each with its global flags. nerdctl's own has BuildKit remove all build
// cache, and with it the cache mounts that no clean-up is to take; and it removes steps of builds
// that are ending, as its `container prune` does.
func (a *app) systemPrune(inv *nerdctl.Invocation) error {
	all, volumes := inv.Bool("all"), inv.Bool("volumes")
	if !inv.Bool("force") && !a.agreesToPrune(all, volumes) {
		return nil // as nerdctl: not to agree is no failure
	}
	parts := [][]string{{"container", "prune", "--force"}, {"network", "prune", "--force"}}
	if volumes {
		parts = append(parts, []string{"volume", "prune", "--force"})
	}
	images, cache := []string{"image", "prune", "--force"}, []string{"cache", "prune", "--force"}
	if all {
		images, cache = append(images, "--all"), append(cache, "--all")
	}
	c, err := a.Client()
	if err != nil {
		return err
	}
	for _, words := range append(parts, images) {
		part, err := inv.Alongside(words...)
		if err == nil {
			err = c.Run(a.ctx, part)
		}
		if err != nil {
			return err
		}
	}
	return a.execute(cache)
}

// agreesToPrune asks in nerdctl's words, and on standard input whatever that is.
func (a *app) agreesToPrune(all, volumes bool) bool {
	what := []string{"all stopped containers", "all networks not used by at least one container"}
	if volumes {
		what = append(what, "all volumes not used by at least one container")
	}
	if all {
		what = append(what, "all images without at least one container associated to them", "all build cache but cache mounts")
	} else {
		what = append(what, "all dangling images", "all dangling build cache but cache mounts")
	}
	fmt.Fprintf(a.streams.Out, "WARNING! This will remove:\n  - %s\nAre you sure you want to continue? [y/N] ", strings.Join(what, "\n  - "))
	answer, _ := bufio.NewReader(a.streams.In).ReadString('\n') // what was read until it ended counts
	return strings.ToLower(strings.TrimSpace(answer)) == "y"
}
