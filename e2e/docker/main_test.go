//go:build e2e && linux

// Package docker_test drives the engine by Docker's API with programs of others, natively on this host: Docker's command lines,
// compose, buildx, the SDK for Python, testcontainers, act. It knows what a user of theirs sees, and nothing of how it comes about.
package docker_test

import (
	"crypto/sha256"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
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
	flag.Parse() // for testing.Short
	// A dockerd in the network of this host would be in the way: two share no network namespace.
	os.Exit(lab.MainInNetns(m, func() error {
		for _, packages := range [][]string{oldDocker, pythonSDK} {
			if _, err := lab.Debian(packages...); err != nil {
				return err
			}
		}
		if !testing.Short() {
			if err := prepareNode(); err != nil {
				return err
			}
		}
		return lab.MakePeers("docker", "docker-compose", "docker-buildx", "act", "testcontainers", "reaper")
	}))
}

// nodeModules is the directory into which prepareNode has had npm install what testdata/node names.
func nodeModules(t testing.TB) string {
	t.Helper()
	dir, err := nodeDir()
	if err != nil {
		t.Fatal(err)
	}
	return dir
}

func nodeDir() (string, error) {
	text, err := os.ReadFile(filepath.Join("testdata", "node", "package.json"))
	if err != nil {
		return "", err
	}
	cache, err := os.UserCacheDir()
	return filepath.Join(cache, "linnet", fmt.Sprintf("node-%x", sha256.Sum256(text))[:24]), err
}

// prepareNode installs clients of Node. They are kept by their list; no script of theirs is run.
func prepareNode() error {
	dir, err := nodeDir()
	if err != nil {
		return err
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	for _, file := range []string{"package.json", "cases.mjs"} {
		text, err := os.ReadFile(filepath.Join("testdata", "node", file))
		if err != nil {
			return err
		}
		if err := os.WriteFile(filepath.Join(dir, file), text, 0o644); err != nil {
			return err
		}
	}
	if _, err := os.Stat(filepath.Join(dir, "installed")); err == nil {
		return nil
	}
	install := exec.Command("npm", "install", "--ignore-scripts", "--no-audit", "--no-fund", "--prefix", dir)
	if out, err := install.CombinedOutput(); err != nil {
		return fmt.Errorf("installing clients of Node: %w\n%s", err, out)
	}
	return os.WriteFile(filepath.Join(dir, "installed"), nil, 0o644)
}
