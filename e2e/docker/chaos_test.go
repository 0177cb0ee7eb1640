//go:build e2e && linux

package docker_test

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/linnet-dev/linnet/e2e/internal/lab"
)

// probe asks a container's page over and over until the test ends, and fails the test for each time that it was not answered.
func probe(t *testing.T, port string) {
	t.Helper()
	client := &http.Client{Timeout: 10 * time.Second, Transport: &http.Transport{DisableKeepAlives: true}}
	ask := func() error {
		answer, err := client.Get("http://127.0.0.1:" + port + "/index.html")
		if err != nil {
			return err
		}
		defer answer.Body.Close()
		text, err := io.ReadAll(answer.Body)
		if err == nil && string(text) != "page\n" {
			err = fmt.Errorf("the page is %q", text)
		}
		return err
	}
	lab.Eventually(t, "the page", func() bool { return ask() == nil })
	stop, stopped := make(chan struct{}), make(chan struct{})
	asked, failed := 0, []error{}
	go func() {
		defer close(stopped)
		tick := time.NewTicker(25 * time.Millisecond)
		defer tick.Stop()
		for {
			asked++
			if err := ask(); err != nil {
				failed = append(failed, err)
			}
			select {
			case <-stop:
				return
			case <-tick.C:
			}
		}
	}()
	t.Cleanup(func() {
		close(stop)
		<-stopped
		t.Logf("the page was asked for %d times", asked)
		if len(failed) > 0 {
			t.Errorf("%d of %d times there was no page: %v", len(failed), asked, failed[:min(3, len(failed))])
		}
	})
}

// serve runs linnet's container with a published port.
func (c *client) serve(t *testing.T, port string) {
	t.Helper()
	c.Must(t, "run", "-d", "--name", "page", "-p", "127.0.0.1:"+port+":80", image, "sh", "-c", "echo page >/index.html; exec httpd -f -p 80 -h /")
	probe(t, port)
}

// counting runs docker's container that counts, and returns what checks that the same process still does.
func (c *client) counting(t *testing.T) (goesOn func(when string)) {
	t.Helper()
	c.must(t, "run", "-d", "--name", "counter", image, "sh", "-c", "i=0; while :; do i=$((i+1)); echo $i; sleep 0.05; done")
	pid := c.must(t, "inspect", "-f", "{{.State.Pid}}", "counter")
	last := func() int {
		n, _ := strconv.Atoi(strings.TrimSpace(c.run(t, nil, "logs", "--tail", "1", "counter").Out)) // 0 while there is no answer
		return n
	}
	return func(when string) {
		t.Helper()
		begin := last()
		lab.Eventually(t, "the counter to go on "+when, func() bool { return last() > begin })
		if now := c.must(t, "inspect", "-f", "{{.State.Pid}} {{.RestartCount}}", "counter"); now != pid+" 0" {
			t.Errorf("%s the container, which was process %s, is (process, restarts) %s", when, pid, now)
		}
		// dockerd dials a containerd that was away again after a pause.
		begun := time.Now()
		lab.Eventually(t, "an exec "+when, func() bool { return c.run(t, nil, "exec", "counter", "echo", "here").Out == "here\n" })
		t.Logf("%s an exec was done after %v", when, time.Since(begun))
	}
}

// dockerd is killed and started while linnet builds: its BuildKit takes no lease of the other's away, and no image.
func TestDockerdKilledWhileLinnetBuilds(t *testing.T) {
	c, registry := ownClient(t), lab.NewRegistry(t)
	c.serve(t, "18130")
	goesOn := c.counting(t)
	rounds := 20
	if testing.Short() {
		rounds = 5
	}
	for i := range rounds {
		base := fmt.Sprintf("127.0.0.1:%s/base:%d", registry.Port, i)
		registry.PushBusybox(t, fmt.Sprintf("base:%d", i))
		dir := write(t, map[string]string{
			"Dockerfile": "FROM " + base + "\nCOPY file /file\nRUN for i in 1 2 3 4; do sleep 0.2; echo $i >>/file; done\nRUN cat /file >/both\n",
			"file":       fmt.Sprintf("round %d\n", i),
		})
		ctx, cancel := context.WithTimeout(t.Context(), lab.Timeout)
		build := c.Command(ctx, "build", "--pull", "-q", "-t", fmt.Sprintf("built:%d", i), dir)
		done := make(chan lab.Result, 1)
		pid := c.awake(t)
		go func() { done <- end(t, build) }()
		kill9(t, pid)
		if now := c.awake(t); now == pid {
			t.Errorf("dockerd is still process %d", pid)
		}
		r := <-done
		cancel()
		if r.Code != 0 {
			t.Errorf("round %d: %s%s", i, r.Out, r.Err)
			continue
		}
		if got, want := c.Must(t, "run", "--rm", "--network=none", fmt.Sprintf("built:%d", i), "cat", "/both"), fmt.Sprintf("round %d\n1\n2\n3\n4", i); got != want {
			t.Errorf("round %d built %q", i, got)
		}
		if i%5 == 4 {
			goesOn(fmt.Sprintf("after %d kills", i+1))
		}
	}
	c.agree(t, "after the kills", putBack)
}

// Whatever of the engine is killed: docker's containers run on, and both sides answer again.
func TestKilledDaemons(t *testing.T) {
	c := ownClient(t)
	c.serve(t, "18131")
	goesOn := c.counting(t)
	dir := write(t, map[string]string{"Dockerfile": "FROM " + image + "\nARG N\nRUN echo $N >/n\n"})
	for _, victim := range []string{"buildkitd", "containerd", "agent", "dockerd"} {
		c.awake(t)
		kill9(t, c.daemon(t, victim).PID)
		when := "after " + victim + " was killed"
		if r := c.Run(t, "ps", "--format", "{{.Names}}"); r.Code != 0 || r.Out != "page\n" {
			t.Errorf("%s linnet ps: %+v", when, r)
		}
		lab.Eventually(t, "an answer "+when, func() bool { return c.run(t, nil, "ps").Code == 0 })
		goesOn(when)
		if got := c.must(t, "run", "--rm", image, "echo", "new"); got != "new" {
			t.Errorf("%s docker run: %q", when, got)
		}
		if got := c.Must(t, "run", "--rm", image, "echo", "new"); got != "new" {
			t.Errorf("%s linnet run: %q", when, got)
		}
		c.Must(t, "build", "-q", "-t", "ours", "--build-arg", "N="+victim, dir)
		c.must(t, "build", "-q", "-t", "theirs", "--build-arg", "N="+victim+"2", dir)
		c.agree(t, when, putBack)
		if n := c.count("dockerd"); n != 1 {
			t.Errorf("%s there are %d dockerd", when, n)
		}
	}
}

// Many first clients at once start one dockerd and all get their answer; so it is after each sleep.
func TestFirstClientsStartOneDockerd(t *testing.T) {
	c := ownClient(t, "LINNET_DOCKER_IDLE=1s")
	for range 3 {
		c.asleep(t)
		if n := c.count("dockerd"); n != 0 {
			t.Errorf("%d dockerd run while it is asleep", n)
		}
		var wg sync.WaitGroup
		for i := range 8 {
			wg.Go(func() {
				if r := c.run(t, nil, "ps", "-q"); r.Code != 0 || r.Out != "" {
					t.Errorf("client %d: %+v", i, r)
				}
			})
		}
		wg.Wait()
		if n := c.count("dockerd"); n != 1 {
			t.Errorf("%d dockerd run", n)
		}
	}
}

// descriptors is how many files the agent has open.
func (c *client) descriptors(t *testing.T) int {
	t.Helper()
	entries, err := os.ReadDir(fmt.Sprintf("/proc/%d/fd", c.daemon(t, "agent").PID))
	if err != nil {
		t.Fatal(err)
	}
	return len(entries)
}

// A client that is killed in an attach, in an exec or while it follows leaves the container and no connection.
func TestClientsThatDie(t *testing.T) {
	c := ownClient(t)
	goesOn := c.counting(t)
	c.must(t, "run", "-d", "-i", "--name", "reader", image, "sh", "-c", "read line; echo got $line")
	before := c.descriptors(t)
	for _, args := range [][]string{
		{"attach", "counter"}, {"logs", "-f", "counter"}, {"exec", "counter", "sleep", "1000"}, {"events"}, {"stats"}, {"wait", "counter"}, {"attach", "reader"},
	} {
		ctx, cancel := context.WithTimeout(t.Context(), lab.Timeout)
		cmd := c.program(ctx, append([]string{c.docker}, args...)...)
		stdin, err := cmd.StdinPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		lab.Eventually(t, "the client's connection", func() bool { return c.descriptors(t) > before })
		kill9(t, cmd.Process.Pid)
		_ = cmd.Wait() // killed
		stdin.Close()
		cancel()
		goesOn("after the end of docker " + strings.Join(args, " "))
	}
	lab.Eventually(t, "the connections to be closed", func() bool { return c.descriptors(t) <= before+2 })
	ctx, cancel := context.WithTimeout(t.Context(), lab.Timeout)
	defer cancel()
	again := c.program(ctx, c.docker, "attach", "reader")
	again.Stdin = strings.NewReader("line\n")
	if r := end(t, again); r.Code != 0 { // whether it still shows what came at the very end is the daemon's own race
		t.Errorf("attached again: %+v", r)
	}
	lab.Eventually(t, "the line of the second client", func() bool { return c.must(t, "logs", "reader") == "got line" })
}

// Two hundred connections at once that follow events, and as many requests beside them, are answered.
func TestManyConnections(t *testing.T) {
	c := sharedClient(t)
	before := c.descriptors(t)
	var open []net.Conn
	for range 200 {
		conn, err := (&net.Dialer{}).DialContext(t.Context(), "unix", c.socket())
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		if _, err := io.WriteString(conn, "GET /events HTTP/1.1\r\nHost: docker\r\n\r\n"); err != nil {
			t.Fatal(err)
		}
		open = append(open, conn)
	}
	for i, conn := range open {
		_ = conn.SetDeadline(time.Now().Add(lab.Timeout))
		line, err := bufio.NewReader(conn).ReadString('\n')
		if err != nil || !strings.HasPrefix(line, "HTTP/1.1 200") {
			t.Fatalf("connection %d: %q, %v", i, line, err)
		}
	}
	var wg sync.WaitGroup
	for range 200 {
		wg.Go(func() {
			answer, err := c.api().Get("http://docker/containers/json")
			if err != nil {
				t.Error(err)
				return
			}
			defer answer.Body.Close()
			if _, err := io.Copy(io.Discard, answer.Body); err != nil || answer.StatusCode != http.StatusOK {
				t.Errorf("%s: %v", answer.Status, err)
			}
		})
	}
	wg.Wait()
	if got := c.must(t, "run", "--rm", "--network=none", image, "echo", "meanwhile"); got != "meanwhile" {
		t.Errorf("meanwhile: %q", got)
	}
	for _, conn := range open {
		conn.Close()
	}
	lab.Eventually(t, "the connections to be closed", func() bool { return c.descriptors(t) <= before+5 })
}

// An engine that was killed whole starts again with docker's containers as their policies say.
func TestEverythingKilled(t *testing.T) {
	c := ownClient(t)
	c.must(t, "volume", "create", "data")
	c.must(t, "run", "-d", "--name", "always", "--restart", "always", "-v", "data:/data", "-p", "127.0.0.1:18132:80", image, "sh", "-c",
		"echo run >>/data/index.html; exec httpd -f -p 80 -h /data")
	c.must(t, "run", "-d", "--name", "once", image, "sleep", "1000")
	c.awake(t)
	var pids []int
	for _, name := range []string{"always", "once"} {
		pid, err := strconv.Atoi(c.must(t, "inspect", "-f", "{{.State.Pid}}", name))
		if err != nil {
			t.Fatal(err)
		}
		pids = append(pids, pid)
	}
	for _, p := range c.processes() {
		if exe, _ := os.Readlink(fmt.Sprintf("/proc/%d/exe", p.pid)); filepath.Base(exe) != "docker.test" {
			pids = append(pids, p.pid)
		}
	}
	for _, pid := range pids {
		if _, err := os.Stat(fmt.Sprintf("/proc/%d", pid)); err == nil {
			kill9(t, pid)
		}
	}
	c.Must(t, "engine", "start")
	lab.Eventually(t, "the container with a policy", func() bool {
		r := c.run(t, nil, "ps", "--format", "{{.Names}}")
		return r.Code == 0 && r.Out == "always\n"
	})
	lab.Eventually(t, "its page", func() bool {
		answer, err := http.Get("http://127.0.0.1:18132/index.html")
		if err != nil {
			return false
		}
		defer answer.Body.Close()
		text, err := io.ReadAll(answer.Body)
		return err == nil && string(text) == "run\nrun\n"
	})
	if got := c.must(t, "inspect", "-f", "{{.State.Status}}", "once"); got != "exited" {
		t.Errorf("the other container is %s", got)
	}
	c.must(t, "start", "once")
}
