// Command reference writes what describes linnet's command line, from the same tables that it is parsed by: man pages, a reference
// of all commands and flags, and the completions of shells, below a directory as they stand below /usr/share:
//
//	go run ./installer/reference [-version VERSION] [-date YYYY-MM-DD] DIR
package main

import (
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"time"

	"github.com/linnet-dev/linnet/pkg/cli"
	"github.com/linnet-dev/linnet/pkg/route"
	"github.com/linnet-dev/linnet/pkg/streams"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	err := run(ctx, os.Args[1:], os.Stderr)
	stop()
	switch {
	case errors.Is(err, errUsage):
		os.Exit(2)
	case err != nil:
		fmt.Fprintf(os.Stderr, "reference: %v\n", err)
		os.Exit(1)
	}
}

// errUsage is a command line that was not understood, which has been said.
var errUsage = errors.New("usage")

func run(ctx context.Context, args []string, stderr io.Writer) error {
	flags := flag.NewFlagSet("reference", flag.ContinueOnError)
	flags.SetOutput(stderr)
	version := flags.String("version", "dev", "the `version` that the pages are of")
	date := flags.String("date", "1970-01-01", "the `day` of that version")
	if err := flags.Parse(args); err != nil {
		return errUsage
	}
	if flags.NArg() != 1 {
		fmt.Fprintln(stderr, "reference: name one directory")
		return errUsage
	}
	day, err := time.Parse(time.DateOnly, *date)
	if err != nil {
		return fmt.Errorf("reading the date: %w", err)
	}
	files, err := pages(ctx, *version, day)
	if err != nil {
		return err
	}
	for name, text := range files {
		path := filepath.Join(flags.Arg(0), filepath.FromSlash(name))
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			return err
		}
		if err := os.WriteFile(path, text, 0o644); err != nil {
			return err
		}
	}
	return nil
}

// completions are where each shell looks for one, below share.
var completions = map[string]string{
	"bash": "bash-completion/completions/linnet",
	"fish": "fish/vendor_completions.d/linnet.fish",
	"zsh":  "zsh/site-functions/_linnet",
}

// pages are all files, by where they go below share.
func pages(ctx context.Context, version string, day time.Time) (map[string][]byte, error) {
	root := tree(ctx)
	files := map[string][]byte{}
	manuals, err := manPages(root, version, day)
	if err != nil {
		return nil, err
	}
	for name, text := range manuals {
		if files["man/man1/"+name+".1.gz"], err = zip(text); err != nil {
			return nil, err
		}
	}
	if files["doc/linnet/commands.md"], err = reference(root, version); err != nil {
		return nil, err
	}
	for shell, name := range completions {
		s, _, out, errs := streams.Test()
		if code := cli.Main(ctx, route.Client, []string{"completion", shell}, s); code != 0 {
			return nil, fmt.Errorf("completion %s: exit code %d: %s", shell, code, errs)
		}
		files[name] = out.Bytes()
	}
	return files, nil
}

// zip compresses a page without its name and time: the same text gives the same bytes.
func zip(text []byte) ([]byte, error) {
	var out bytes.Buffer
	w, err := gzip.NewWriterLevel(&out, gzip.BestCompression)
	if err != nil {
		return nil, err
	}
	_, err = w.Write(text)
	err = errors.Join(err, w.Close())
	return out.Bytes(), err
}
