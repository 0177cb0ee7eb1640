package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"os"
	"path"
	"path/filepath"
	"strings"
	"testing"
)

// The test binary stands in for two programs, each as a real process: Go, when fakeGoEnv names
// its state directory, and this command itself, when fakeBuildEnv holds its options.
const (
	fakeGoEnv    = "LINNET_TEST_FAKE_GO"
	fakeBuildEnv = "LINNET_TEST_FAKE_BUILD"
)

func TestMain(m *testing.M) {
	switch {
	case os.Getenv(fakeBuildEnv) != "":
		os.Exit(fakeBuild(os.Getenv(fakeBuildEnv)))
	case os.Getenv(fakeGoEnv) != "":
		os.Exit(fakeGo(os.Getenv(fakeGoEnv), os.Args[1:]))
	}
	os.Exit(m.Run())
}

// fakeGo answers `go env -json` and, for `go build`, writes its own arguments as the program. Its state directory may hold: version, what GOVERSION is; fail, a program that
// does not compile; hang, a program whose build stops half-way, says so on the unix socket
// named in the file, and ends only with its connection. It logs each build in builds, and leaves its
// variables for cgo in env-NAME.
func fakeGo(state string, args []string) int {
	if args[0] == "env" {
		text, err := os.ReadFile(filepath.Join(state, "version"))
		if err != nil {
			text = []byte("go1.0")
		}
		return answer(json.NewEncoder(os.Stdout).Encode(map[string]string{"GOVERSION": string(text)}))
	}
	from, to := args[len(args)-1], args[len(args)-2]
	log, err := os.OpenFile(filepath.Join(state, "builds"), os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o644)
	if err != nil {
		return answer(err)
	}
	fmt.Fprintln(log, from)
	var cgo strings.Builder
	for _, v := range os.Environ() {
		if strings.HasPrefix(v, "CC=") || strings.HasPrefix(v, "PKG_CONFIG_") {
			cgo.WriteString(v + "\n")
		}
	}
	if err := write(filepath.Join(state, "env-"+path.Base(from)), cgo.String()); err != nil {
		return answer(err)
	}
	if err := log.Close(); err != nil {
		return answer(err)
	}
	if says(state, "fail", from) {
		fmt.Fprintln(os.Stderr, "go: downloading example.com/noise v1.0.0\nmain.go:1:1: it does not compile")
		return 1
	}
	content := strings.Join(append(args[:len(args)-3:len(args)-3], from), " ") // without -o, a temporary path
	if socket, err := os.ReadFile(filepath.Join(state, "hang")); err == nil {
		conn, err := new(net.Dialer).DialContext(context.Background(), "unix", string(socket))
		if err != nil {
			return answer(err)
		}
		if err := write(to, content[:len(content)/2]); err != nil {
			return answer(err)
		}
		fmt.Fprintln(conn, from)
		_, err = io.Copy(io.Discard, conn) // until the test closes it, or a signal ends this process
		return answer(err)
	}
	return answer(write(to, content))
}

func answer(err error) int {
	if err != nil {
		fmt.Fprintln(os.Stderr, "fake go:", err)
		return 3
	}
	return 0
}

func says(state, name, from string) bool {
	text, err := os.ReadFile(filepath.Join(state, name))
	return err == nil && string(text) == from
}

func write(to, content string) error {
	if err := os.MkdirAll(filepath.Dir(to), 0o755); err != nil {
		return err
	}
	return os.WriteFile(to, []byte(content), 0o755)
}
