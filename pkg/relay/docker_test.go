package relay

import (
	"bytes"
	"crypto/rand"
	"errors"
	"io"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"
)

// door is what the guest has for clients of Docker's API: each connection is given to serve.
func (l *lab) door(serve func(conn *net.UnixConn)) {
	l.t.Helper()
	socket := filepath.Join(l.dir, "door.sock")
	listener, err := net.Listen("unix", socket)
	if err != nil {
		l.t.Fatal(err)
	}
	l.t.Cleanup(func() { listener.Close() })
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			go func() {
				defer conn.Close()
				serve(conn.(*net.UnixConn))
			}()
		}
	}()
	l.services = map[string]string{dockerService: socket}
	l.DockerSocket = filepath.Join(l.dir, "docker.sock")
}

// dockerClient connects as Docker's clients do.
func (l *lab) dockerClient() *net.UnixConn {
	l.t.Helper()
	var conn net.Conn
	l.until("the relay listens for clients of Docker's API", func() (ok bool) {
		var err error
		conn, err = net.Dial("unix", l.DockerSocket)
		return err == nil
	})
	l.t.Cleanup(func() { conn.Close() })
	if err := conn.SetDeadline(time.Now().Add(limit)); err != nil {
		l.t.Fatal(err)
	}
	return conn.(*net.UnixConn)
}

// endThenAnswer reads to the end and then answers with as much.
func endThenAnswer(conn *net.UnixConn) {
	if all, err := io.ReadAll(conn); err == nil {
		_, _ = conn.Write(all)
	}
}

func exchange(conn *net.UnixConn, data []byte) error {
	var wg sync.WaitGroup
	wg.Go(func() {
		_, _ = conn.Write(data)
		_ = conn.CloseWrite()
	})
	got, err := io.ReadAll(conn)
	wg.Wait()
	if err == nil && !bytes.Equal(got, data) {
		err = errors.New("other bytes came back")
	}
	return err
}

func TestDockersClientsEndTheirHalfAndGetTheWholeAnswer(t *testing.T) {
	l := newLab(t)
	l.door(endThenAnswer)
	l.agent()
	l.start()
	data := make([]byte, 5<<20)
	_, _ = rand.Read(data)
	if err := exchange(l.dockerClient(), data); err != nil {
		t.Error(err)
	}
	if st, err := os.Stat(l.DockerSocket); err != nil || st.Mode() != fs.ModeSocket|0o600 {
		t.Errorf("%s: %v, %v", l.DockerSocket, st, err)
	}
}

// The answer may end before the client has said all.
func TestDockersAnswerMayEndFirst(t *testing.T) {
	l := newLab(t)
	rest := make(chan int64, 1)
	l.door(func(conn *net.UnixConn) {
		_, _ = io.ReadFull(conn, make([]byte, 5))
		_, _ = io.WriteString(conn, "whole")
		_ = conn.CloseWrite()
		n, _ := io.Copy(io.Discard, conn)
		rest <- n
	})
	l.agent()
	l.start()
	conn := l.dockerClient()
	if _, err := io.WriteString(conn, "hello"); err != nil {
		t.Fatal(err)
	}
	if got, err := io.ReadAll(conn); err != nil || string(got) != "whole" {
		t.Fatalf("%q, %v", got, err)
	}
	data := make([]byte, 5<<20)
	if _, err := conn.Write(data); err != nil {
		t.Fatal(err)
	}
	_ = conn.CloseWrite()
	if n := <-rest; n != int64(len(data)) {
		t.Errorf("%d bytes came after the answer", n)
	}
}

func TestManyOfDockersClientsAtOnce(t *testing.T) {
	l := newLab(t)
	var all sync.WaitGroup
	all.Add(200)
	l.door(func(conn *net.UnixConn) {
		_, _ = io.ReadFull(conn, make([]byte, 1))
		all.Done()
		all.Wait() // they are all there at the same time
		_, _ = io.WriteString(conn, "!")
		endThenAnswer(conn)
	})
	l.agent()
	l.start()
	var wg sync.WaitGroup
	for range 200 {
		conn := l.dockerClient()
		wg.Go(func() {
			if _, err := io.WriteString(conn, "?"); err != nil {
				t.Error(err)
				return
			}
			if _, err := io.ReadFull(conn, make([]byte, 1)); err != nil {
				t.Error(err)
				return
			}
			if err := exchange(conn, []byte("some words")); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
}

// Docker's clients come as soon as there is a socket: the engine may not be made yet.
func TestDockersClientsWaitForTheEngine(t *testing.T) {
	l := newLab(t)
	l.door(endThenAnswer)
	ready := l.services[dockerService]
	later := ready + ".later"
	if err := os.Rename(ready, later); err != nil {
		t.Fatal(err)
	}
	a := l.agent()
	l.start()
	conn := l.dockerClient()
	done := make(chan error, 1)
	go func() { done <- exchange(conn, []byte("hello")) }()
	before := a.opened.Load()
	l.until("it was tried", func() bool { return a.opened.Load() > before+2 })
	if err := os.Rename(later, ready); err != nil {
		t.Fatal(err)
	}
	if err := <-done; err != nil {
		t.Error(err)
	}
}

func TestTheEndOfTheGuestsSideEndsDockersClient(t *testing.T) {
	l := newLab(t)
	l.door(func(conn *net.UnixConn) {
		_, _ = io.ReadFull(conn, make([]byte, 5))
	})
	l.agent()
	l.start()
	conn := l.dockerClient()
	if _, err := io.WriteString(conn, "hello"); err != nil {
		t.Fatal(err)
	}
	if n, err := io.Copy(io.Discard, conn); n != 0 || err != nil && errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("%d bytes, %v", n, err)
	}
}

func TestTheDockerSocketGoesWithTheRelay(t *testing.T) {
	l := newLab(t)
	l.door(endThenAnswer)
	if err := os.WriteFile(l.DockerSocket, nil, 0o600); err != nil { // what one that was killed has left
		t.Fatal(err)
	}
	l.agent()
	ended := l.start()
	if err := exchange(l.dockerClient(), []byte("hello")); err != nil {
		t.Error(err)
	}
	if err := Stop(t.Context(), l.ControlSocket); err != nil {
		t.Fatal(err)
	}
	if err := <-ended; err != nil {
		t.Error(err)
	}
	if _, err := os.Lstat(l.DockerSocket); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("%s is there: %v", l.DockerSocket, err)
	}
}

// In the same home another kind of engine may run: its clients stay its own.
func TestTheDockerSocketOfAnotherEngineStaysAndIsTakenLater(t *testing.T) {
	l := newLab(t)
	l.door(endThenAnswer)
	other, err := net.Listen("unix", l.DockerSocket)
	if err != nil {
		t.Fatal(err)
	}
	go func() {
		for {
			conn, err := other.Accept()
			if err != nil {
				return
			}
			_, _ = io.WriteString(conn, "other")
			conn.Close()
		}
	}()
	l.agent()
	l.start()
	l.speaks()
	if got, err := io.ReadAll(l.dockerClient()); err != nil || string(got) != "other" {
		t.Errorf("%q, %v", got, err)
	}
	other.Close()
	if err := exchange(l.dockerClient(), []byte("hello")); err != nil {
		t.Error(err)
	}
}

func TestARelayTellsWhetherItListensForDocker(t *testing.T) {
	for _, on := range []bool{false, true} {
		l := newLab(t)
		if on {
			l.door(endThenAnswer)
		}
		l.start()
		if rules, err := QueryRules(t.Context(), l.ControlSocket); err != nil || rules.Docker != on {
			t.Errorf("%v: %+v, %v", on, rules, err)
		}
	}
}
