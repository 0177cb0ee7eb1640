package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"

	"github.com/spf13/cobra"
)

// variablesFD is the variable that names the descriptor with a container's variables: each is NAME=value, or a bare NAME,
// which takes the image's variable of that name away, and ends with a zero byte. No value can hold one, so that all other
// bytes arrive as they are. The descriptor is read from its start.
const variablesFD = "LINNET_VARIABLES_FD"

// addVariables gives the command the variables of its container, as if each had been typed with --env: in that order, after
// what was typed. They are in the memory of this process alone: not on its command line, and not in its environment,
// so that no program which it starts, and no hook of the container, has them. The engine's own variable goes, too.
func addVariables(cmd *cobra.Command) error {
	number, ok := os.LookupEnv(variablesFD)
	if !ok {
		return nil
	}
	if err := os.Unsetenv(variablesFD); err != nil {
		return err
	}
	flag := cmd.Flags().Lookup("env")
	if flag == nil {
		return fmt.Errorf("%s is set, but %q makes no container", variablesFD, cmd.CommandPath())
	}
	variables, err := readVariables(number)
	if err != nil {
		return fmt.Errorf("reading the container's variables: %w", err)
	}
	for _, v := range variables {
		if _, set := os.LookupEnv(v); set { // a bare name: nerdctl would take this process's value for the container's
			if v != "GOGC" { // which was read when this process began
				continue
			}
			if err := os.Unsetenv(v); err != nil {
				return err
			}
		}
		if err := cmd.Flags().Set("env", throughCSV(v)); err != nil {
			return fmt.Errorf("reading the container's variables: %w", err)
		}
	}
	return nil
}

// throughCSV writes a value so that it is itself again once its flag was asked for it: pflag hands a list on as CSV, whose
// reader (encoding/csv) drops one carriage return before each newline.
func throughCSV(value string) string { return strings.ReplaceAll(value, "\r\n", "\r\r\n") }

func readVariables(number string) ([]string, error) {
	fd, err := strconv.ParseUint(number, 10, 31)
	if err != nil {
		return nil, fmt.Errorf("%s: %q is not the number of a descriptor", variablesFD, number)
	}
	f := os.NewFile(uintptr(fd), "variables")
	defer f.Close()
	if _, err := f.Seek(0, io.SeekStart); err != nil {
		return nil, err
	}
	data, err := io.ReadAll(f)
	if err != nil {
		return nil, err
	}
	return splitVariables(data)
}

// splitVariables takes the data apart. Data that does not end with a zero byte was cut short.
func splitVariables(data []byte) ([]string, error) {
	if len(data) == 0 {
		return nil, nil
	}
	whole, ok := bytes.CutSuffix(data, []byte{0})
	if !ok {
		return nil, errors.New("the last one is cut short")
	}
	var all []string
	for v := range bytes.SplitSeq(whole, []byte{0}) {
		if len(v) == 0 || v[0] == '=' {
			return nil, errors.New("one of them has no name")
		}
		all = append(all, string(v))
	}
	return all, nil
}
