package main

import (
	"strings"
	"testing"

	"github.com/spf13/cobra"
)

func TestWhichContainersKnowTheHost(t *testing.T) {
	const gateway = "10.231.7.1"
	for line, want := range map[string]string{
		"run":                                    "host.docker.internal:host-gateway",
		"create":                                 "host.docker.internal:host-gateway",
		"exec":                                   "",
		"run --network=none":                     "",
		"run --network=host":                     "",
		"run --net=host":                         "",
		"run --network=container:web":            "",
		"run --network=ns:/proc/1/ns/net":        "",
		"run --network=own --add-host=a:1.2.3.4": "a:1.2.3.4 host.docker.internal:host-gateway",
		"run --add-host=Host.Docker.Internal:1.2.3.4": "Host.Docker.Internal:1.2.3.4",
	} {
		words := strings.Fields(line)
		cmd := &cobra.Command{Use: words[0]}
		cmd.Flags().StringSlice("add-host", nil, "")
		cmd.Flags().StringSlice("network", []string{"bridge"}, "")
		cmd.Flags().StringSlice("net", []string{"bridge"}, "")
		if err := cmd.ParseFlags(words[1:]); err != nil {
			t.Fatal(err)
		}
		if err := addHostName(cmd, gateway); err != nil {
			t.Fatalf("%s: %v", line, err)
		}
		hosts, err := cmd.Flags().GetStringSlice("add-host")
		if got := strings.Join(hosts, " "); err != nil || got != want {
			t.Errorf("%s: --add-host is %q (%v), want %q", line, got, err, want)
		}
	}
}

func TestWithoutAGatewayThereIsNoName(t *testing.T) {
	cmd := &cobra.Command{Use: "run"}
	cmd.Flags().StringSlice("add-host", nil, "")
	cmd.Flags().StringSlice("network", nil, "")
	if err := addHostName(cmd, ""); err != nil || cmd.Flags().Changed("add-host") {
		t.Errorf("a host at no address: %v, %v", cmd.Flags().Lookup("add-host").Value, err)
	}
}
