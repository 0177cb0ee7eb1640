package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"

	tc "github.com/testcontainers/testcontainers-go"
	"github.com/testcontainers/testcontainers-go/exec"
	"github.com/testcontainers/testcontainers-go/network"
	"github.com/testcontainers/testcontainers-go/wait"
)

// sleeping is a command that does nothing until it is ended.
var sleeping = []string{"sh", "-c", "trap 'exit 0' TERM; while :; do sleep 1; done"}

// serving is a command that serves a page with one word. As sleeping it ends when it is told to: a container's first process that knows
// nothing of SIGTERM takes ten seconds to stop.
func serving(word string) []string {
	return []string{"sh", "-c", "mkdir -p /www && echo " + word + " >/www/index.html; trap 'exit 0' TERM; httpd -f -p 80 -h /www & wait"}
}

// with runs a container for the time of a function, and removes it.
func with(ctx context.Context, image string, does func(*tc.DockerContainer) (string, error), options ...tc.ContainerCustomizer) (seen string, err error) {
	c, err := tc.Run(ctx, image, options...)
	defer func() { err = errors.Join(err, tc.TerminateContainer(c)) }() // which knows what to do with one that did not start
	if err != nil {
		return "", err
	}
	return does(c)
}

// waitForPort runs a server, waits until its port answers, and reads its page through the published port.
func waitForPort(ctx context.Context, image string) (string, error) {
	return with(ctx, image, func(c *tc.DockerContainer) (string, error) {
		at, err := c.PortEndpoint(ctx, "80/tcp", "http")
		if err != nil {
			return "", err
		}
		return get(ctx, at)
	}, tc.WithCmd(serving("port")...), tc.WithExposedPorts("80/tcp"), tc.WithWaitStrategy(wait.ForListeningPort("80/tcp")))
}

func get(ctx context.Context, url string) (string, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return "", err
	}
	answer, err := http.DefaultClient.Do(request)
	if err != nil {
		return "", err
	}
	defer answer.Body.Close()
	text, err := io.ReadAll(answer.Body)
	return strings.TrimSpace(string(text)), err
}

// waitForLog waits for a line that comes late, and returns what the container has written.
func waitForLog(ctx context.Context, image string) (string, error) {
	command := []string{"sh", "-c", "trap 'exit 0' TERM; echo starting; sleep 1; echo ready; sleep 600 & wait"}
	return with(ctx, image, func(c *tc.DockerContainer) (string, error) {
		log, err := c.Logs(ctx)
		if err != nil {
			return "", err
		}
		defer log.Close()
		text, err := io.ReadAll(log) // up to now: it does not follow
		return strings.Join(strings.Fields(string(text)), " "), err
	}, tc.WithCmd(command...), tc.WithWaitStrategy(wait.ForLog("ready")))
}

// runInside runs a command in a container, and returns its exit code and its output.
func runInside(ctx context.Context, image string) (string, error) {
	return with(ctx, image, func(c *tc.DockerContainer) (string, error) {
		return inside(ctx, c, "sh", "-c", "echo out; echo err >&2; exit 7")
	}, tc.WithCmd(sleeping...))
}

func inside(ctx context.Context, c *tc.DockerContainer, command ...string) (string, error) {
	code, output, err := c.Exec(ctx, command, exec.Multiplexed())
	if err != nil {
		return "", err
	}
	text, err := io.ReadAll(output)
	return fmt.Sprintf("%d %s", code, strings.Join(strings.Fields(string(text)), " ")), err
}

// copyInAndOut copies a file into a container before it starts and another while it runs, has them put together there, and copies the
// result out.
func copyInAndOut(ctx context.Context, image string) (string, error) {
	first := tc.ContainerFile{Reader: strings.NewReader("first\n"), ContainerFilePath: "/tmp/first", FileMode: 0o644}
	return with(ctx, image, func(c *tc.DockerContainer) (string, error) {
		if err := c.CopyToContainer(ctx, []byte("second\n"), "/tmp/second", 0o600); err != nil {
			return "", err
		}
		if said, err := inside(ctx, c, "sh", "-c", "cat /tmp/first /tmp/second >/tmp/both"); err != nil || said != "0 " {
			return "", fmt.Errorf("putting both together: %q, %w", said, err)
		}
		out, err := c.CopyFileFromContainer(ctx, "/tmp/both")
		if err != nil {
			return "", err
		}
		defer out.Close()
		text, err := io.ReadAll(out)
		return strings.Join(strings.Fields(string(text)), " "), err
	}, tc.WithCmd(sleeping...), tc.WithFiles(first))
}

// reachByAlias has one container read the page of another by its alias in a network of their own.
func reachByAlias(ctx context.Context, image string) (seen string, err error) {
	n, err := network.New(ctx)
	if err != nil {
		return "", err
	}
	defer func() { err = errors.Join(err, n.Remove(context.WithoutCancel(ctx))) }()
	return with(ctx, image, func(*tc.DockerContainer) (string, error) {
		return with(ctx, image, func(c *tc.DockerContainer) (string, error) {
			return inside(ctx, c, "wget", "-q", "-O", "-", "http://server.test/")
		}, tc.WithCmd(sleeping...), network.WithNetwork(nil, n))
	}, tc.WithCmd(serving("alias")...), network.WithNetwork([]string{"server.test"}, n), tc.WithExposedPorts("80/tcp"), tc.WithWaitStrategy(wait.ForListeningPort("80/tcp")))
}
