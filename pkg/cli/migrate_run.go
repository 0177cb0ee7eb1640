package cli

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/linnet-dev/linnet/pkg/guest"
	"github.com/linnet-dev/linnet/pkg/migrate"
	"github.com/linnet-dev/linnet/pkg/report"
)

// migratedLabel is on every volume that a migration has made, with the socket that it came from.
const migratedLabel = "linnet/migrated-from"

// notWhole is the exit code of `linnet-agent volume whole` where a volume's content did not come to its end.
const notWhole = 3

// mover copies from another engine into ours.
type mover struct {
	*app
	from  *migrate.Docker
	guest guest.Guest
}

// newMover waits until our engine can take something.
func (a *app) newMover(ctx context.Context, from *migrate.Docker) (*mover, error) {
	c, err := a.Client()
	if err == nil {
		err = c.Ready(ctx, false)
	}
	if err != nil {
		return nil, err
	}
	return &mover{a, from, c.Guest}, nil
}

// capture runs a program in the guest and returns what it printed. in may be nil. What it said of a failure is the error's text,
// and the error still is its *guest.ExitError.
func (m *mover) capture(ctx context.Context, in io.Reader, argv ...string) (string, error) {
	if argv[0] == "nerdctl" {
		argv = slices.Insert(argv, 1, m.global...)
	}
	if in == nil {
		in = bytes.NewReader(nil)
	}
	var out, errs bytes.Buffer
	err := m.guest.Run(ctx, guest.Process{
		Argv: argv, Stdin: in, Stdout: guest.Limit(&out, guest.CaptureMax), Stderr: guest.Limit(&errs, guest.CaptureMax),
	})
	if _, ran := guest.ExitCode(err); ran {
		err = &saidError{strings.TrimSpace(errs.String()), err}
	}
	return out.String(), err
}

// saidError is the failure of a program, in its own words.
type saidError struct {
	text string
	err  error
}

func (e *saidError) Error() string { return e.text }

// exitCode is the exit code that an error of capture stands for; ok reports whether the program ran.
func exitCode(err error) (code int, ok bool) {
	var said *saidError
	if errors.As(err, &said) {
		return guest.ExitCode(said.err)
	}
	return 0, err == nil
}

// here reads what our engine has of what the other one has.
func (m *mover) here(ctx context.Context, there migrate.Inventory) (h migrate.Here, err error) {
	if err := m.imagesHere(ctx, there.Images, &h); err != nil {
		return h, fmt.Errorf("listing the images that are here: %w", err)
	}
	if h.Volumes, err = m.volumesHere(ctx, there.Volumes); err != nil {
		return h, fmt.Errorf("listing the volumes that are here: %w", err)
	}
	return h, nil
}

func (m *mover) imagesHere(ctx context.Context, images []migrate.Image, h *migrate.Here) error {
	listed, err := m.capture(ctx, nil, "nerdctl", "images", "--format={{.Repository}}:{{.Tag}}")
	if err != nil {
		return err
	}
	here := map[string]bool{}
	for _, tag := range strings.Fields(listed) {
		here[migrate.Familiar(tag)] = true
	}
	// One name that is not here, and nerdctl would show none.
	argv := []string{"nerdctl", "image", "inspect", "--format={{json .}}", "--"}
	words := len(argv)
	for _, i := range images {
		for _, tag := range i.RepoTags {
			if here[migrate.Familiar(tag)] {
				argv = append(argv, tag)
			}
		}
	}
	if len(argv) == words {
		return nil
	}
	out, err := m.capture(ctx, nil, argv...)
	if err != nil {
		return err
	}
	for line := range strings.Lines(out) {
		noteImage(line, h)
	}
	return nil
}

// noteImage reads what nerdctl says of an image.
func noteImage(line string, h *migrate.Here) {
	var image struct {
		ID                    string `json:"Id"`
		RepoTags, RepoDigests []string
	}
	if json.Unmarshal([]byte(line), &image) != nil {
		return
	}
	ids := []string{image.ID}
	for _, d := range image.RepoDigests {
		if _, digest, ok := strings.Cut(d, "@"); ok {
			ids = append(ids, digest)
		}
	}
	for _, tag := range image.RepoTags {
		h.Put(tag, ids...)
	}
}

// volume is one of ours.
type volume struct {
	Name, Mountpoint string
	Labels           map[string]string
}

func (m *mover) volumesHere(ctx context.Context, volumes []migrate.Volume) (map[string]migrate.State, error) {
	listed, err := m.capture(ctx, nil, "nerdctl", "volume", "ls", "--quiet")
	if err != nil {
		return nil, err
	}
	here, states := strings.Fields(listed), map[string]migrate.State{}
	for _, v := range volumes {
		if !slices.Contains(here, v.Name) {
			continue
		}
		ours, err := m.volume(ctx, v.Name)
		if err != nil {
			return nil, err
		}
		states[v.Name] = migrate.Foreign
		if ours.Labels[migratedLabel] == "" {
			continue
		}
		states[v.Name] = migrate.Whole
		if _, err := m.capture(ctx, nil, "linnet-agent", "volume", "whole", ours.Mountpoint); err != nil {
			if code, _ := exitCode(err); code != notWhole {
				return nil, err
			}
			states[v.Name] = migrate.Partial
		}
	}
	return states, nil
}

func (m *mover) volume(ctx context.Context, name string) (volume, error) {
	out, err := m.capture(ctx, nil, "nerdctl", "volume", "inspect", "--", name)
	if err != nil {
		return volume{}, err
	}
	var all []volume
	if err := json.Unmarshal([]byte(out), &all); err != nil || len(all) != 1 || all[0].Mountpoint == "" {
		return volume{}, fmt.Errorf("inspecting the volume %s: nerdctl printed %.200q", name, out)
	}
	return all[0], nil
}

// moveAll takes all that is to be taken, and prints the name of each that has come. One that fails does not keep the others back.
func (m *mover) moveAll(ctx context.Context, items []migrate.Item) (err error) {
	defer func() { err = errors.Join(err, m.from.Close(ctx)) }()
	for _, i := range items {
		if i.Fate != migrate.Take {
			continue
		}
		name := "taking " + i.Kind + " " + i.Name
		step := m.Report().Step(name)
		move := m.moveVolume
		if i.Kind == "image" {
			move = m.moveImage
		}
		if failed := move(ctx, i, step); failed != nil {
			step.Fail(failed)
			err = errors.Join(err, fmt.Errorf("%s: %w", name, failed))
			if ctx.Err() != nil {
				return err
			}
			continue
		}
		step.Done()
		fmt.Fprintln(m.streams.Out, i.Name)
	}
	return err
}

func (m *mover) moveImage(ctx context.Context, i migrate.Item, step *report.Step) error {
	archive, err := m.from.Image(ctx, i.Tags)
	if err != nil {
		return err
	}
	defer archive.Close()
	return m.feed(ctx, archive, step, "nerdctl", "load", "--quiet")
}

func (m *mover) moveVolume(ctx context.Context, i migrate.Item, step *report.Step) (err error) {
	files, closing, err := m.from.Volume(ctx, i.Name)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, closing()) }()
	// One that is there already was made by a migration that did not come to its end.
	if _, err := m.capture(ctx, nil, "nerdctl", "volume", "create", "--label="+migratedLabel+"="+m.from.Socket, "--", i.Name); err != nil {
		return err
	}
	ours, err := m.volume(ctx, i.Name)
	if err != nil {
		return err
	}
	if ours.Labels[migratedLabel] == "" {
		return errors.New("a volume of that name was made here meanwhile")
	}
	if err := m.feed(ctx, files, step, "linnet-agent", "volume", "unpack", ours.Mountpoint); err != nil {
		return err
	}
	_, err = m.capture(ctx, nil, "linnet-agent", "volume", "finish", ours.Mountpoint)
	return err
}

// feed runs a program in the guest that reads an archive. It succeeds only where the archive came as a whole.
func (m *mover) feed(ctx context.Context, archive io.Reader, step *report.Step, argv ...string) error {
	counted := &counting{in: archive, tell: func(n int64) { step.Note(bytesText(n)) }}
	_, err := m.capture(ctx, counted, argv...)
	if err == nil {
		_, _ = io.Copy(io.Discard, counted) // what stands behind the archive's end; how it ended is noted
	}
	if broken := counted.broken(); broken != nil {
		return fmt.Errorf("reading from %s: %w", m.from.Socket, broken)
	}
	return err
}

// counting tells how much was read, twice a second, and keeps the error at which that ended. What feeds a process that has ended may
// still read: the lock is for that.
type counting struct {
	tell func(n int64)

	mu   sync.Mutex
	in   io.Reader
	n    int64
	last time.Time
	err  error
}

func (c *counting) Read(p []byte) (int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	n, err := c.in.Read(p)
	c.n += int64(n)
	if err != nil {
		c.err = err
	}
	if now := time.Now(); now.Sub(c.last) > 500*time.Millisecond {
		c.last = now
		c.tell(c.n)
	}
	return n, err
}

// broken is the error at which the reading ended before its end.
func (c *counting) broken() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if errors.Is(c.err, io.EOF) {
		return nil
	}
	return c.err
}
