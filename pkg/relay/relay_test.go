package relay

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"io"
	"net"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/linnet-dev/linnet/pkg/agent"
)

// speak has a client's bytes echoed by a service in the guest, after its own half was closed.
func speak(conn *net.UnixConn, data []byte) error {
	if err := agent.Ask(context.Background(), conn, "echo"); err != nil {
		return err
	}
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

func (l *lab) speaks() {
	l.t.Helper()
	if err := speak(l.client(), []byte("hello")); err != nil {
		l.t.Errorf("speaking to the agent: %v", err)
	}
}

func TestManyClientsAtOnceReachTheAgentUnharmed(t *testing.T) {
	l := newLab(t)
	l.agent()
	l.start()
	var wg sync.WaitGroup
	for range 32 {
		conn := l.client()
		wg.Go(func() {
			data := make([]byte, 300_000)
			_, _ = rand.Read(data)
			if err := speak(conn, data); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if _, logins := l.sshd.Count(); logins != 1 {
		t.Errorf("%d connections were made", logins)
	}
}

func TestTheSocketsAreTheUsersAlone(t *testing.T) {
	l := newLab(t)
	l.start()
	for _, path := range []string{l.AgentSocket, l.ControlSocket} {
		if st, err := os.Stat(path); err != nil || st.Mode().Perm() != 0o600 {
			t.Errorf("%s: %v, %v", path, st, err)
		}
	}
}

func TestStreamsAreKeptInStock(t *testing.T) {
	l := newLab(t)
	l.agent()
	l.start()
	l.speaks()
	// What is in stock needs no connection to the agent: this one takes no more.
	l.until("the stock is full", func() bool { return l.status().Connected })
	l.speaks()
}

func TestWhoOnlyLooksCostsNoStream(t *testing.T) {
	l := newLab(t)
	a := l.agent()
	l.start()
	l.speaks()
	l.until("the stock is full again", func() bool { return a.opened.Load() == int64(l.Stock)+2 }) // one is attended, one has spoken
	opened := a.opened.Load()
	for range 20 {
		l.client().Close()
	}
	l.speaks() // which takes one, and has another one opened
	l.until("no client is connected", func() bool { return l.status().Clients == 0 })
	if n := a.opened.Load() - opened; n > 2 {
		t.Errorf("%d streams were opened", n)
	}
}

func TestClientsWaitForAGuestThatIsNotThereYet(t *testing.T) {
	l := newLab(t)
	ready := make(chan struct{})
	l.sshd.Greeting(func(net.Conn) bool {
		select {
		case <-ready:
			return true
		default:
			return false // as a guest whose network is up, and whose sshd is not
		}
	})
	l.start()
	conn := l.client()
	l.until("it was turned away twice", func() bool {
		accepted, _ := l.sshd.Count()
		return accepted > 1
	})
	if s := l.status(); s.Connected || s.Error != "the guest does not take connections yet" {
		t.Errorf("meanwhile, its state is %+v", s)
	}
	close(ready)
	l.until("it is connected", func() bool { return l.status().Connected })
	l.until("it misses the agent", func() bool {
		return strings.HasPrefix(l.status().Error, "connecting to the agent in the guest: ")
	})
	l.agent()
	if err := speak(conn, []byte("x")); err != nil {
		t.Error(err)
	}
	l.until("nothing is missing", func() bool { return l.status().Error == "" })
	if s := l.status(); s.PID != os.Getpid() {
		t.Errorf("then, its state is %+v", s)
	}
}

func TestAGuestThatIsSilentIsAskedSeldom(t *testing.T) {
	l := newLab(t)
	l.agent()
	var up atomic.Bool
	l.Up = up.Load
	l.sshd.Greeting(func(conn net.Conn) bool {
		if up.Load() {
			return true
		}
		_, _ = io.Copy(io.Discard, conn) // as a forwarder whose guest is not there
		return false
	})
	began := time.Now()
	l.start()
	l.until("a second attempt is made", func() bool {
		accepted, _ := l.sshd.Count()
		return accepted == 2
	})
	if took := time.Since(began); took < firstSilent {
		t.Errorf("it came after %v", took)
	}
	l.until("it is known that the guest is silent", func() bool { return time.Since(began) > firstSilent+4*againAfterRefusal })
	if accepted, _ := l.sshd.Count(); accepted != 2 {
		t.Errorf("%d attempts were made in %v", accepted, time.Since(began))
	}
	said := time.Now()
	up.Store(true)
	l.until("it is connected", func() bool { return l.status().Connected })
	if took := time.Since(said); took > firstSilent {
		t.Errorf("once the guest had said that it is up, it took %v", took)
	}
	l.until("the early attempts are given up", func() bool { return l.sshd.Open() == 1 })
	if accepted, _ := l.sshd.Count(); accepted != 3 {
		t.Errorf("%d attempts were made", accepted)
	}
}

func TestAnSSHDThatIsSlowToSpeakIsNotCrowded(t *testing.T) {
	if testing.Short() {
		t.Skip("it waits for seconds")
	}
	l := newLab(t)
	l.agent()
	l.Up = func() bool { return true }
	speak := make(chan struct{})
	l.sshd.Greeting(func(net.Conn) bool {
		<-speak
		return true
	})
	began := time.Now()
	l.start()
	l.until("a second attempt is made", func() bool {
		accepted, _ := l.sshd.Count()
		return accepted == 2
	})
	if took := time.Since(began); took < overlapAnswering {
		t.Errorf("it came after %v", took)
	}
	close(speak)
	l.speaks()
}

func TestABrokenConnectionIsMadeAgain(t *testing.T) {
	l := newLab(t)
	l.agent()
	l.start()
	before := l.client()
	if err := agent.Ask(t.Context(), before, "echo"); err != nil {
		t.Fatal(err)
	}
	l.sshd.Kill()
	if n, err := before.Read(make([]byte, 1)); n != 0 || err == nil {
		t.Errorf("a client of before reads %d, %v", n, err)
	}
	l.speaks()
	if _, logins := l.sshd.Count(); logins != 2 {
		t.Errorf("%d connections were made", logins)
	}
}

func TestAGuestThatDoesNotAnswerIsNoticed(t *testing.T) {
	l := newLab(t)
	l.agent()
	l.Keepalive, l.Patience = 20*time.Millisecond, 200*time.Millisecond
	l.start()
	l.speaks()
	before := l.client()
	if err := agent.Ask(t.Context(), before, "echo"); err != nil {
		t.Fatal(err)
	}
	l.sshd.Frozen.Store(true)
	if n, err := before.Read(make([]byte, 1)); n != 0 || err == nil {
		t.Errorf("a client of before reads %d, %v", n, err)
	}
	l.sshd.Frozen.Store(false)
	l.speaks()
}

func TestAnAgentThatIsReplacedIsFoundAgain(t *testing.T) {
	l := newLab(t)
	first := l.agent()
	l.start()
	l.speaks()
	first.stop()
	began := l.sshd.Refused()
	l.until("the stock is gone", func() bool { return l.status().Error != "" })
	conn := l.client()
	l.until("it is looked for a few times", func() bool { return l.sshd.Refused()-began > int64(l.Stock)+3 })
	l.agent()
	if err := speak(conn, []byte("x")); err != nil {
		t.Error(err)
	}
	for range 10 {
		l.speaks()
	}
}

func TestAnAddressThatIsNotKnownYetIsAskedForAgain(t *testing.T) {
	l := newLab(t)
	l.agent()
	target := l.Target
	asked := 0
	l.Target = func(ctx context.Context) (Target, error) {
		if asked++; asked < 4 {
			return Target{}, errors.New("the instance has no address yet")
		}
		return target(ctx)
	}
	l.start()
	l.speaks()
}

func TestOptionsAreChecked(t *testing.T) {
	for want, change := range map[string]func(*Options){
		"making a relay: Target, Alive and Log must be given":      func(o *Options) { o.Alive = nil },
		`making a relay: "run/agent.sock" is not an absolute path`: func(o *Options) { o.AgentSocket = "run/agent.sock" },
	} {
		l := newLab(t)
		change(&l.Options)
		if _, err := New(l.Options); err == nil || err.Error() != want {
			t.Errorf("got %v", err)
		}
	}
}

func TestALogHasABound(t *testing.T) {
	path := t.TempDir() + "/log/relay.log"
	log, err := OpenLog(path)
	if err != nil {
		t.Fatal(err)
	}
	line := bytes.Repeat([]byte("x"), 1000)
	for range 3 * logSize / len(line) {
		if _, err := log.Write(line); err != nil {
			t.Fatal(err)
		}
	}
	if err := log.Close(); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{path, path + ".1"} {
		st, err := os.Stat(name)
		if err != nil || st.Size() > logSize || st.Mode().Perm() != 0o600 {
			t.Errorf("%s: %v, %v", name, st, err)
		}
	}
	if log, err = OpenLog(path); err != nil {
		t.Fatal(err)
	}
	defer log.Close()
	if log.size == 0 {
		t.Error("opened again, it begins anew")
	}
}

func TestAConsoleSaysAWord(t *testing.T) {
	dir := t.TempDir()
	one, two := dir+"/one", dir+"/two"
	up := ConsoleSays("guest: up\r\n", one, two)
	write := func(file, text string) {
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	check := func(when string, want bool) {
		t.Helper()
		if got := up(); got != want {
			t.Errorf("%s: %v", when, got)
		}
	}
	check("without a file", false)
	write(one, "hello\r\nguest: u")
	write(two, "")
	check("half a word", false)
	write(one, "hello\r\nguest: up\r\n")
	check("the word", true)
	write(one, "hello\r\nguest: up\r\nand more")
	check("and more", true)
	write(one, "")
	check("begun anew", false)
	write(two, "guest: up\r\n")
	check("the other one", true)
}
