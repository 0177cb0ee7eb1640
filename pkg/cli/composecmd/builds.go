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
	"github.com/linnet-dev/linnet/pkg/registry"
	"github.com/linnet-dev/linnet/pkg/settings"
)

// builds are the builds of one project.
type builds struct {
	env     *cli.Env
	project *compose.Project
	session build.Session
	grant   *registry.Grant
	// name is the project that the settings say all builds are of, and shared that cache mounts
	// are everybody's.
	name   string
	shared bool
	// told is what the user knows already of what is emulated, by architecture.
	told map[string]string

	// one lets one build at a time have linnet's live line.
	one sync.Mutex
}

func newBuilds(env *cli.Env, project *compose.Project, h options.Host) (*builds, error) {
	engine, err := env.Engine()
	if err != nil {
		return nil, err
	}
	layout, err := env.Layout()
	if err != nil {
		return nil, err
	}
	s, err := env.Settings()
	if err != nil {
		return nil, err
	}
	// What .env says counts as if it were set, and nothing is read from standard input.
	h.LookupEnv, h.Stdin = project.LookupEnv, nil
	grant := env.Grant()
	return &builds{
		env: env, grant: grant, project: project, name: string(s.Build.Project), shared: s.Build.CacheMounts == settings.MountsShared,
		session: build.Session{
			Guest: engine, Host: h, Layout: layout,
			Credentials: grant.Credentials, Named: grant.Allow, Unnamed: grant.AllowOthers, Snapshotter: string(s.Engine.Snapshotter),
		},
	}, nil
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
		return "", fmt.Errorf("making a folder for compose files: %w", err)
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
	defer b.env.TellRefused(b.grant)
	err = compose.Run(ctx, plan, func(ctx context.Context, p compose.Build) error {
		session, foreign := b.session, buildcmd.NewEmulation(b.env)
		session.Emulate = func(ctx context.Context, platforms []string) map[string]string {
			b.one.Lock()
			defer b.one.Unlock()
			defer b.env.CloseReport()
			notes := foreign.Enable(ctx, platforms)
			for name := range b.told {
				delete(notes, name)
			}
			return notes
		}
		result, err := session.Build(ctx, b.identify(p.Options), of(p.Service))
		if err != nil {
			return foreign.Explain(err)
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

// ready waits for the engine once, so that of many builds one says what is waited for.
func (b *builds) ready(ctx context.Context) error {
	defer b.env.CloseReport()
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
