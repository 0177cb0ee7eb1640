package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	tc "github.com/testcontainers/testcontainers-go"
	"github.com/testcontainers/testcontainers-go/wait"
)

// buildDockerfile builds an image with an argument and a file of the context, runs it, and returns what it prints.
func buildDockerfile(ctx context.Context, image string) (seen string, err error) {
	dir, err := os.MkdirTemp("", "testcontainers-")
	if err != nil {
		return "", err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	for name, text := range map[string]string{
		"Dockerfile": "ARG BASE\nFROM ${BASE}\nARG WORD\nCOPY file /file\nRUN echo $WORD >>/file\nCMD [\"sh\", \"-c\", \"trap 'exit 0' TERM; cat /file; echo built; sleep 600 & wait\"]\n",
		"file":       "copied\n",
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			return "", err
		}
	}
	word := "argument"
	from := tc.FromDockerfile{Context: dir, BuildArgs: map[string]*string{"BASE": &image, "WORD": &word}}
	return with(ctx, "", func(c *tc.DockerContainer) (string, error) {
		log, err := c.Logs(ctx)
		if err != nil {
			return "", err
		}
		defer log.Close()
		text, err := io.ReadAll(log)
		return strings.Join(strings.Fields(string(text)), " "), err
	}, tc.WithDockerfile(from), tc.WithWaitStrategy(wait.ForLog("built")))
}

// leaveToReaper starts a container and leaves it. It prints the container's id: the reaper, which the library has started before, removes
// it after this process's end.
func leaveToReaper(ctx context.Context, image string) (string, error) {
	c, err := tc.Run(ctx, image, tc.WithCmd(sleeping...))
	if err != nil {
		return "", err
	}
	config := tc.ReadConfig()
	if config.RyukDisabled {
		return "", errors.New("the reaper is off: TESTCONTAINERS_RYUK_DISABLED")
	}
	return fmt.Sprintf("%s session %s", c.GetContainerID(), tc.SessionID()), nil
}
