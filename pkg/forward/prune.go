package forward

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/linnet-dev/linnet/pkg/guest"
	"github.com/linnet-dev/linnet/pkg/nerdctl"
)

// prune removes stopped containers, and says so as nerdctl does.
func prune(ctx context.Context, o Options, list *nerdctl.Invocation, remove func(string) (*nerdctl.Invocation, error)) error {
	o.Done()
	if !o.Invocation.Bool("force") {
		yes, err := confirm(o, "WARNING! This will remove all stopped containers.\nAre you sure you want to continue? [y/N] ")
		if err != nil || !yes {
			return err
		}
	}
	var listed, removed bytes.Buffer
	if err := within(ctx, o, list, &listed); err != nil {
		return err
	}
	rm, err := remove(listed.String())
	if err != nil || rm == nil {
		return err
	}
	// What somebody else has started or removed meanwhile is not ours to complain about: it is
	// told on standard error.
	err = within(ctx, o, rm, &removed)
	var exit *guest.ExitError
	if err != nil && !errors.As(err, &exit) {
		return err
	}
	if removed.Len() == 0 {
		return nil
	}
	if _, err := fmt.Fprintf(o.Streams.Out, "Deleted Containers:\n%s\n", &removed); err != nil {
		return fmt.Errorf("telling what was removed: %w", err)
	}
	return nil
}

// within runs a command that reads nothing beside us and keeps what it prints.
func within(ctx context.Context, o Options, inv *nerdctl.Invocation, out io.Writer) error {
	plan, err := nerdctl.Localize(inv, near(o))
	if err != nil {
		return err
	}
	o.Invocation = inv
	p := process(o, plan, nil)
	p.Stdin, p.Stdout, p.Stderr = strings.NewReader(""), guest.Limit(out, guest.CaptureMax), o.Streams.Err
	return o.Guest.Run(ctx, p)
}

// confirm asks in nerdctl's way: on standard output, with the answer from whatever standard input is.
func confirm(o Options, question string) (bool, error) {
	if _, err := io.WriteString(o.Streams.Out, question); err != nil {
		return false, fmt.Errorf("asking: %w", err)
	}
	var answer string
	if _, err := fmt.Fscanf(o.Streams.In, "%s", &answer); err != nil {
		return false, fmt.Errorf("reading the answer: %w", err)
	}
	return strings.EqualFold(answer, "y"), nil
}
