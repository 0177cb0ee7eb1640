package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"runtime"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/linnet-dev/linnet/deps"
	"github.com/linnet-dev/linnet/pkg/agent"
	"github.com/linnet-dev/linnet/pkg/guest"
	"github.com/linnet-dev/linnet/pkg/report"
)

// versions is what `linnet version` shows.
type versions struct {
	Client clientVersion `json:"client"`
	// Agent is the version of the running agent; empty when none runs.
	Agent string `json:"agent"`
	// Components are the programs linnet drives, as they are installed.
	Components []deps.Installed `json:"components"`
	// Problems name what is not as it should be, a line each.
	Problems []string `json:"problems"`
}

type clientVersion struct {
	Version string `json:"version"`
	Go      string `json:"go"`
	OS      string `json:"os"`
	Arch    string `json:"arch"`
}

func (a *app) newVersion() *cobra.Command {
	var format string
	c := &cobra.Command{
		Use: "version", Short: "show the versions of linnet, its agent and every component", Args: NoArgs,
		Long: `version shows linnet's own version, that of the agent if one runs, and for every component
the pinned version and the one that is installed. It starts nothing.
nerdctl's own: linnet nerdctl version`,
		RunE: func(cmd *cobra.Command, _ []string) error {
			v, err := a.versions(cmd.Context())
			if err != nil {
				return err
			}
			return Show(a.streams, format, v, func(w io.Writer) error { return printVersions(w, v, a.streams.OutTerminal()) })
		},
	}
	AddFormat(c, &format)
	return c
}

func (a *app) versions(ctx context.Context) (versions, error) {
	v := versions{
		Client:   clientVersion{Version: agent.Version, Go: runtime.Version(), OS: runtime.GOOS, Arch: runtime.GOARCH},
		Problems: []string{},
	}
	l, err := a.Layout()
	if err != nil {
		return v, err
	}
	asked := make(chan error, 1)
	go func() { // beside the reading of the components: the agent is another process
		var err error
		v.Agent, err = agentVersion(ctx, l.Socket("agent"))
		asked <- err
	}()
	components, err := a.components()
	if agentErr := <-asked; agentErr != nil {
		v.Problems = append(v.Problems, agentErr.Error())
	}
	if err != nil {
		return v, err
	}
	v.Components = components
	if v.Agent != "" && v.Agent != v.Client.Version {
		v.Problems = append(v.Problems, fmt.Sprintf("the agent is %s and the client %s: linnet engine restart", v.Agent, v.Client.Version))
	}
	for _, c := range v.Components {
		switch c.State {
		case deps.Missing:
			v.Problems = append(v.Problems, fmt.Sprintf("%s is missing: %s: make deps", c.Name, c.Path))
		case deps.Different:
			text := fmt.Sprintf("%s is %s and not the pinned %s: %s", c.Name, c.Found, c.Pinned, c.Path)
			if c.Found == c.Pinned {
				text = fmt.Sprintf("%s was built without %s: %s: make deps", c.Name, strings.Join(c.Unmended, ", "), c.Path)
			}
			v.Problems = append(v.Problems, text)
		}
	}
	return v, nil
}

// agentVersion asks a running agent, and takes no more than a moment for it.
func agentVersion(ctx context.Context, socket string) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
	defer cancel()
	c, err := agent.Dial(ctx, socket)
	if errors.Is(err, agent.ErrNotRunning) {
		return "", nil
	}
	if err != nil {
		return "", err
	}
	defer c.Close()
	info, err := c.Info(ctx)
	if err != nil {
		return "", fmt.Errorf("asking the agent: %w", err)
	}
	return info.GetVersion(), nil
}

// components are the installed programs that this kind of host needs.
func (a *app) components() ([]deps.Installed, error) {
	l, err := a.Layout()
	if err != nil {
		return nil, err
	}
	all, err := deps.Load()
	if err != nil {
		return nil, err
	}
	mends, err := deps.Mends()
	if err != nil {
		return nil, err
	}
	kind := deps.Linux
	if runtime.GOOS != "linux" {
		kind = deps.VM
	}
	var wanted []deps.Component
	for _, c := range all {
		if c.For(kind) {
			wanted = append(wanted, c)
		}
	}
	return deps.Inspect(l.Libexec, wanted, mends), nil
}

func printVersions(w io.Writer, v versions, terminal bool) error {
	running := v.Agent
	if running == "" {
		running = "not running"
	}
	t := report.NewTable(terminal, "COMPONENT", "VERSION", "PINNED")
	t.Row("linnet", v.Client.Version, "")
	t.Row("linnet-agent", running, "")
	for _, c := range v.Components {
		found := c.Found
		if c.State == deps.Missing {
			found = "missing"
		}
		t.Row(c.Name, found, c.Pinned)
	}
	if err := t.Print(w); err != nil {
		return err
	}
	for _, c := range v.Components {
		if len(c.Mends) > 0 {
			fmt.Fprintf(w, "\nmends of %s: %s\n", c.Name, strings.Join(c.Mends, ", "))
		}
	}
	for _, p := range v.Problems {
		if _, err := fmt.Fprintln(w, "\nnot as pinned: "+p); err != nil {
			return err
		}
	}
	return nil
}

// info is what `linnet info` shows: everything at once, for a bug report.
type info struct {
	versions
	Status   guest.Status `json:"engine"`
	Settings any          `json:"settings"`
}

func (a *app) newInfo() *cobra.Command {
	var format string
	c := &cobra.Command{
		Use: "info", Short: "show versions, engine and settings together", Args: NoArgs,
		Long: `info shows what version, engine status and config show do, together. It starts nothing.
nerdctl's own: linnet nerdctl info`,
		RunE: func(cmd *cobra.Command, _ []string) error {
			v, err := a.versions(cmd.Context())
			if err != nil {
				return err
			}
			e, err := a.Engine()
			if err != nil {
				return err
			}
			s, err := e.Status(cmd.Context())
			if err != nil {
				return err
			}
			set, err := a.Settings()
			if err != nil {
				return err
			}
			terminal := a.streams.OutTerminal()
			return Show(a.streams, format, info{v, s, set.Show()}, func(w io.Writer) error {
				if err := printVersions(w, v, terminal); err != nil {
					return err
				}
				fmt.Fprintln(w)
				if err := printStatus(w, s, terminal); err != nil {
					return err
				}
				fmt.Fprintln(w)
				return printSettings(w, set, terminal)
			})
		},
	}
	AddFormat(c, &format)
	return c
}
