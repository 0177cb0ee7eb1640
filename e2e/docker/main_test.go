//go:build e2e && linux

// Package docker_test drives the engine by Docker's API with programs of others, natively on this host: Docker's command lines,
// compose, buildx, the SDK for Python, testcontainers, act. It knows what a user of theirs sees, and nothing of how it comes about.
package docker_test

import (
	"os"
	"testing"

	"github.com/linnet-dev/linnet/e2e/internal/lab"
)

// The programs of Debian, which are unpacked and not installed: its docker, and the SDK for Python with what that imports.
var (
	oldDocker = []string{"docker.io"}
	pythonSDK = []string{
		"python3-docker", "python3-requests", "python3-urllib3", "python3-certifi", "python3-chardet", "python3-charset-normalizer",
		"python3-idna", "python3-websocket", "python3-distutils", "python3-lib2to3", "python3-six",
	}
)

func TestMain(m *testing.M) {
	// A dockerd in the network of this host would be in the way: two share no network namespace.
	os.Exit(lab.MainInNetns(m, func() error {
		for _, packages := range [][]string{oldDocker, pythonSDK} {
			if _, err := lab.Debian(packages...); err != nil {
				return err
			}
		}
		return lab.MakePeers("docker", "docker-compose", "docker-buildx", "act", "testcontainers", "reaper")
	}))
}
