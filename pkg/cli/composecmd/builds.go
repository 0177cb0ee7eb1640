package composecmd

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"

	"github.com/linnet-dev/linnet/pkg/build"
	"github.com/linnet-dev/linnet/pkg/build/options"
	"github.com/linnet-dev/linnet/pkg/cli"
	"github.com/linnet-dev/linnet/pkg/cli/buildcmd"
	"github.com/linnet-dev/linnet/pkg/compose"
	"github.com/linnet-dev/linnet/pkg/guest"
	"github.com/linnet-dev/linnet/pkg/host"
	"github.com/linnet-dev/linnet/pkg/settings"
)

// builds are the builds of one project.
type builds struct {
	env     *cli.Env
	project *compose.Project
	session build.Session
	// release takes linnet's live line off the terminal, tellRefused says which credentials were asked for in vain.
	release, tellRefused func()
	// name is the project that the settings say all builds are of, and shared that cache mounts
	// are everybody's.
	name   string
	shared bool
	// told is what the user knows already of what is emulated, by architecture.
	told map[string]string

	// one lets one build at a time have linnet's live line.
	one sync.Mutex
}

func newBuilds(env *cli.Env, project *compose.Project) (*builds, error) {
	s, err := env.Settings()
	if err != nil {
		return nil, err
	}
	session, tell, err := buildcmd.NewSession(env)
	if err != nil {
		return nil, err
	}
	// What .env says counts as if it were set, and nothing is read from standard input.
	session.Host.LookupEnv, session.Host.Stdin = project.LookupEnv, nil
	b := &builds{
		env: env, session: session, release: session.Ready, tellRefused: tell, project: project,
		name: string(s.Build.Project), shared: s.Build.CacheMounts == settings.MountsShared,
	}
	b.session.Ready = nil // many builds are shown as one
	return b, nil
}

// digests are what the image store has of a plan's images.
func (b *builds) digests(ctx context.Context, plan []compose.Build) (map[string]string, error) {
	var names []string
	for _, p := range plan {
		names = append(names, p.Image)
	}
	return b.session.Images(ctx, names)
}

// override writes what is laid over the project's files for a compose that builds nothing.
func (b *builds) override(digests map[string]string) (path string, err error) {
	layout, err := b.env.Layout()
	if err != nil {
		return "", err
	}
	if err := host.MakeDir(layout.Compose()); err != nil {
		return "", fmt.Errorf("making a directory for compose files: %w", err)
	}
	sum := sha256.Sum256([]byte(b.project.Name() + "\x00" + strings.Join(b.project.Files(), "\x00")))
	path = filepath.Join(layout.Compose(), hex.EncodeToString(sum[:8])+".yaml")
	text := b.project.Override(digests)
	if was, err := os.ReadFile(path); err == nil && bytes.Equal(was, text) {
		return path, nil
	}
	return path, host.WriteFile(path, text, 0o600)
}

// run does the builds of a plan and shows them as one.
func (b *builds) run(ctx context.Context, plan []compose.Build, mode string) error {
	if len(plan) == 0 {
		return nil
	}
	if own, _ := b.session.Host.LookupEnv("BUILDKIT_PROGRESS"); own != "" && mode == "auto" {
		mode = own // as for docker
	}
	display, err := build.NewDisplay(b.env.Streams().Err, mode)
	if err != nil {
		return err
	}
	if err := b.ready(ctx); err != nil {
		return buildcmd.Ended(ctx, err)
	}
	for _, p := range plan {
		for _, r := range p.Options.Remarks() {
			fmt.Fprintf(b.env.Streams().Err, "warning: service %s: %s\n", p.Service, r)
		}
	}
	of, end := display.Several(ctx)
	var remarks sync.Mutex
	var texts []string // of warnings, by the builds' end
	defer b.tellRefused()
	err = compose.Run(ctx, plan, func(ctx context.Context, p compose.Build) error {
		session := b.session
		session.Emulate = b.emulate
		result, err := session.Build(ctx, b.identify(p.Options), of(p.Service))
		if err != nil {
			return err
		}
		remarks.Lock()
		defer remarks.Unlock()
		for _, w := range result.Warnings {
			texts = append(texts, fmt.Sprintf("warning: service %s: %s\n", p.Service, w))
		}
		return nil
	})
	end()
	for _, text := range texts {
		if mode == "quiet" || mode == "rawjson" {
			break
		}
		fmt.Fprint(b.env.Streams().Err, text)
	}
	return buildcmd.Ended(ctx, err)
}

// emulate is the session's Emulate for one build at a time. What the user knows already is not told again.
func (b *builds) emulate(ctx context.Context, platforms []string) (notes map[string]string, err error) {
	b.one.Lock()
	defer b.one.Unlock()
	defer b.release()
	notes, err = b.session.Emulate(ctx, platforms)
	for name := range b.told {
		delete(notes, name)
	}
	return notes, err
}

// ready waits for the engine once, so that of many builds one says what is waited for.
func (b *builds) ready(ctx context.Context) error {
	defer b.release()
	if err := b.session.Guest.Ready(ctx); err != nil {
		return err
	}
	conn, err := b.session.Guest.Dial(ctx, guest.BuildKit)
	if err != nil {
		return err
	}
	return conn.Close()
}

// identify says whose cache mounts a build uses: those of the setting's project, of the context's
// git remote, or of the compose project.
func (b *builds) identify(o options.Options) options.Options {
	o.Project = b.name
	if dir := o.Context; o.Project == "" && (filepath.IsAbs(dir) || strings.HasPrefix(dir, ".")) {
		if !filepath.IsAbs(dir) {
			dir = filepath.Join(b.session.Host.Dir, dir)
		}
		o.Project = options.Project(dir)
	}
	if o.Project == "" {
		o.Project = b.project.Name()
	}
	o.Identify(b.session.Host, b.shared)
	return o
}

// check writes what is to be said of the Dockerfiles. Remarks are a failure.
func (b *builds) check(ctx context.Context, plan []compose.Build) error {
	s, found := b.env.Streams(), 0
	for _, p := range plan {
		a, err := b.session.Ask(ctx, p.Options, "check")
		if err != nil {
			return buildcmd.Ended(ctx, fmt.Errorf("service %s: %w", p.Service, err))
		}
		if a.Found == 0 {
			continue
		}
		found += a.Found
		if _, err := fmt.Fprintf(s.Out, "service %s:\n%s", p.Service, a.Text); err != nil {
			return fmt.Errorf("writing the answer: %w", err)
		}
	}
	switch found {
	case 0:
		fmt.Fprintln(s.Err, "no remarks")
		return nil
	case 1:
		fmt.Fprintln(s.Err, "1 remark")
	default:
		fmt.Fprintf(s.Err, "%d remarks\n", found)
	}
	return cli.Silent(1)
}
