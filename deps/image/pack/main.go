// Command pack makes of a baked image the one file that goes over the wire, and prints its digest and name, as sha256sum does:
//
//	go run ./deps/image/pack -version 1.0.0 [-arch amd64] [-from DIR] [-to DIR]
//
// The same image makes the same bytes. What the form is, package guestimage says, which reads it too.
package main

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"strings"

	"github.com/linnet-dev/linnet/pkg/guestimage"
)

func main() {
	if err := run(os.Args[1:], os.Stdout, os.Stderr); err != nil {
		fmt.Fprintln(os.Stderr, "pack:", err)
		os.Exit(1)
	}
}

// machines are the architectures as Go names them, and as directories of images are named.
var machines = map[string]string{"amd64": "x86_64", "arm64": "aarch64"}

func run(args []string, stdout, stderr io.Writer) error {
	flags := flag.NewFlagSet("pack", flag.ContinueOnError)
	flags.SetOutput(stderr)
	version := flags.String("version", "", "the `version` in the file's name; a leading v is left out")
	arch := flags.String("arch", runtime.GOARCH, "the image's architecture, as Go names it")
	from := flags.String("from", "", "the image's `dir` (default libexec/linnet/image/MACHINE, or libexec/linnet-ARCH/image/MACHINE for another architecture than this one)")
	to := flags.String("to", "_output/dist", "the `dir` that the file is made in")
	if err := flags.Parse(args); err != nil {
		return err
	}
	machine, known := machines[*arch]
	if !known {
		return fmt.Errorf("unknown architecture %q: amd64 or arm64", *arch)
	}
	if *version == "" {
		return errors.New("-version is missing")
	}
	if *from == "" {
		prefix := "linnet"
		if *arch != runtime.GOARCH {
			prefix += "-" + *arch
		}
		*from = filepath.Join("libexec", prefix, "image", machine)
	}
	name := guestimage.FileName(strings.TrimPrefix(*version, "v"), *arch)
	if err := os.MkdirAll(*to, 0o755); err != nil {
		return err
	}
	sum, err := pack(*from, filepath.Join(*to, name))
	if err == nil {
		_, err = fmt.Fprintf(stdout, "%s  %s\n", sum, name)
	}
	return err
}

// pack writes the file whole or not at all, and returns its SHA-256 in hexadecimal.
func pack(from, to string) (sum string, err error) {
	out, err := os.CreateTemp(filepath.Dir(to), "."+filepath.Base(to)+".")
	if err != nil {
		return "", err
	}
	defer func() { _ = os.Remove(out.Name()) }() // where it has its name there is none any more
	hash := sha256.New()
	err = guestimage.Pack(io.MultiWriter(out, hash), from)
	if err := errors.Join(err, out.Chmod(0o644), out.Close()); err != nil {
		return "", err
	}
	return hex.EncodeToString(hash.Sum(nil)), os.Rename(out.Name(), to)
}
