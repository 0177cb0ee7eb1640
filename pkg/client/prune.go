package client

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
func (o command) prune(ctx context.Context, list *nerdctl.Invocation, remove func(string) (*nerdctl.Invocation, error)) error {
	o.Release()
	if !o.inv.Bool("force") {
		yes, err := o.confirm("WARNING! This will remove all stopped containers.\nAre you sure you want to continue? [y/N] ")
		if err != nil || !yes {
			return err
		}
	}
	var listed, removed bytes.Buffer
	if err := o.output(ctx, list, &listed); err != nil {
		return err
	}
	rm, err := remove(listed.String())
	if err != nil || rm == nil {
		return err
	}
	// What another client has started or removed meanwhile is not ours to complain about: it is
	// told on standard error.
	err = o.output(ctx, rm, &removed)
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

// confirm asks in nerdctl's way: on standard output, with the answer from whatever standard input is.
func (o command) confirm(question string) (bool, error) {
	if _, err := io.WriteString(o.Streams.Out, question); err != nil {
		return false, fmt.Errorf("asking: %w", err)
	}
	var answer string
	if _, err := fmt.Fscanf(o.Streams.In, "%s", &answer); err != nil {
		return false, fmt.Errorf("reading the answer: %w", err)
	}
	return strings.EqualFold(answer, "y"), nil
}
