// Command testcontainers is a user's tests with testcontainers-go, one at a time, and prints what it saw:
//
//	testcontainers CASE IMAGE
//
// The image is one with busybox, which the engine has: nothing is pulled. Which engine it is, the library finds by DOCKER_HOST.
package main

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"os/signal"
	"slices"
	"strings"
	"syscall"
)

// cases are what may be asked for. Each returns what it saw.
var cases = map[string]func(ctx context.Context, image string) (string, error){
	"port":    waitForPort,
	"log":     waitForLog,
	"exec":    runInside,
	"copy":    copyInAndOut,
	"network": reachByAlias,
	"build":   buildDockerfile,
	"reaper":  leaveToReaper,
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	seen, err := run(ctx, os.Args[1:])
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "testcontainers:", err)
		os.Exit(1)
	}
	fmt.Println(seen)
}

func run(ctx context.Context, args []string) (string, error) {
	if len(args) != 2 {
		return "", errors.New("usage: testcontainers CASE IMAGE")
	}
	does, known := cases[args[0]]
	if !known {
		return "", fmt.Errorf("no case is called %q; there are %s", args[0], strings.Join(slices.Sorted(maps.Keys(cases)), ", "))
	}
	return does(ctx, args[1])
}
