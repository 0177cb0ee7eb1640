package buildcmd

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/linnet-dev/linnet/pkg/build"
	"github.com/linnet-dev/linnet/pkg/build/options"
	"github.com/linnet-dev/linnet/pkg/cli"
	"github.com/linnet-dev/linnet/pkg/host"
	"github.com/linnet-dev/linnet/pkg/streams"
)

// forget removes a file that a failed build must not leave from an earlier one.
func forget(h options.Host, path string) error {
	if path == "" {
		return nil
	}
	if err := os.Remove(at(h, path)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("removing the former %s: %w", path, err)
	}
	return nil
}

func at(h options.Host, path string) string {
	if filepath.IsAbs(path) {
		return path
	}
	return filepath.Join(h.Dir, path)
}

// tell writes what the user wants to know of a result.
func (v *values) tell(env *cli.Env, h options.Host, mode string, r build.Result) error {
	if mode == "auto" || mode == "plain" || mode == "tty" {
		for _, w := range r.Warnings {
			fmt.Fprintf(env.Streams().Err, "warning: %s\n", w)
		}
	}
	for _, line := range r.Dropped {
		fmt.Fprintln(env.Streams().Err, "linnet:", line)
	}
	if v.iidfile != "" {
		if err := host.WriteFile(at(h, v.iidfile), []byte(r.ID), 0o644); err != nil {
			return err
		}
	}
	if v.metadataFile != "" {
		text, err := metadata(r)
		if err != nil {
			return err
		}
		if err := host.WriteFile(at(h, v.metadataFile), text, 0o644); err != nil {
			return err
		}
	}
	if v.quiet && r.ID != "" {
		if _, err := fmt.Fprintln(env.Streams().Out, r.ID); err != nil {
			return fmt.Errorf("writing the image's ID: %w", err)
		}
	}
	return nil
}

// tellAnswer writes what the frontend says of a Dockerfile. Remarks are a failure.
func tellAnswer(s *streams.Streams, question string, a build.Answer, asJSON, ignore bool) error {
	text := a.Text
	if asJSON {
		text = strings.TrimSuffix(a.JSON, "\n") + "\n"
	}
	if _, err := io.WriteString(s.Out, text); err != nil {
		return fmt.Errorf("writing the answer: %w", err)
	}
	if question != "check" {
		return nil
	}
	switch {
	case asJSON:
	case a.Found == 0:
		fmt.Fprintln(s.Err, "no remarks")
	case a.Found == 1:
		fmt.Fprintln(s.Err, "1 remark")
	default:
		fmt.Fprintf(s.Err, "%d remarks\n", a.Found)
	}
	if a.Found > 0 && !ignore {
		return cli.Silent(1)
	}
	return nil
}

// metadata is a result in docker's form: what the exporters said, with what is JSON inside as
// JSON, and the build's own identifier.
func metadata(r build.Result) ([]byte, error) {
	all := map[string]any{}
	for key, value := range r.Response {
		all[key] = value
		text, err := base64.StdEncoding.DecodeString(value)
		if err != nil || len(text) == 0 || text[0] != '{' {
			continue
		}
		var decoded map[string]any
		if json.Unmarshal(text, &decoded) == nil {
			all[key] = decoded
		}
	}
	all["buildx.build.ref"] = "default/default/" + r.Ref
	text, err := json.MarshalIndent(all, "", "  ")
	if err != nil {
		return nil, fmt.Errorf("writing what is known of the result: %w", err)
	}
	return append(text, '\n'), nil
}
