package relay

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"os"
	"syscall"
	"time"

	"golang.org/x/crypto/ssh"

	"github.com/linnet-dev/linnet/pkg/hint"
)

// CiphersHardware is what is fastest where both processors have instructions for AES.
var CiphersHardware = []string{ssh.CipherAES128GCM, ssh.CipherChaCha20Poly1305}

// CiphersEmulated is what is fastest where the guest's processor is emulated.
var CiphersEmulated = []string{ssh.CipherChaCha20Poly1305, ssh.CipherAES128GCM}

// While a machine boots, its forwarder on the host accepts connections before anybody over
// there can answer. QEMU's tries each of them again, a few seconds apart and whether or not
// it was given up here, and sshd spends a process on every one in the end: so there must be
// few. Once the guest's network is up, because it said so or because its kernel turned one
// away, an attempt costs nothing until sshd is there, and is silent only while sshd is at work.
const (
	againAfterRefusal = 50 * time.Millisecond
	overlapAnswering  = time.Second
	patienceAnswering = 15 * time.Second
	mostAnswering     = 3
	// While the guest is silent, each pause is as long as the time before it, within these.
	firstSilent, mostSilent = 500 * time.Millisecond, 4 * time.Second
	patienceSilent          = time.Minute
	// glance is how often a guest that boots is asked whether it is up.
	glance = 20 * time.Millisecond
	// handshakes is how long keys and log-in may take once sshd has spoken, emulated and busy.
	handshakes = 30 * time.Second
)

// dial connects to the guest, however long it takes; nil when ctx has ended.
func (r *Relay) dial(ctx context.Context) *link {
	began := time.Now()
	pause := newPause(200*time.Millisecond, 2*time.Second)
	for {
		conn, target, ok := r.greeted(ctx, began)
		if !ok {
			return nil
		}
		l, err := r.handshake(ctx, conn, target)
		if err == nil {
			r.o.Log.WithField("after", time.Since(began).Round(time.Millisecond)).Info("connected to the guest")
			return l
		}
		r.complain(err)
		pause.wait(ctx)
	}
}

// attempt is one connection of which sshd's first bytes are awaited.
type attempt struct {
	conn   *heard
	target Target
	err    error
	// answering says that it was begun when the guest's network was up.
	answering bool
}

// greeted returns a connection on which sshd has begun to speak; not ok when ctx has ended.
func (r *Relay) greeted(ctx context.Context, began time.Time) (conn *heard, target Target, ok bool) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel() // the other attempts
	results := make(chan attempt)
	tick := time.NewTicker(glance)
	defer tick.Stop()
	next, turnedAway, pending := time.Now(), false, 0
	for {
		up := turnedAway || r.o.Up != nil && r.o.Up()
		if up && pending == 0 {
			next = earlier(next, time.Now().Add(againAfterRefusal))
		}
		select {
		case <-ctx.Done():
			return nil, Target{}, false
		case <-tick.C:
			if time.Now().Before(next) || pending >= mostAnswering {
				continue
			}
			pause, patience := min(max(time.Since(began), firstSilent), mostSilent), patienceSilent
			if up {
				pause, patience = overlapAnswering, patienceAnswering
				pending++
			}
			next = time.Now().Add(pause)
			go r.try(ctx, patience, func(a attempt) {
				a.answering = up
				select {
				case results <- a:
				case <-ctx.Done():
					a.close()
				}
			})
		case a := <-results:
			if a.err == nil {
				return a.conn, a.target, true
			}
			if a.answering {
				pending--
			}
			turnedAway = turnedAway || errors.Is(a.err, errTurnedAway)
			r.complain(a.err)
			if !errors.Is(a.err, errSilent) {
				next = earlier(next, time.Now().Add(againAfterRefusal))
			}
		}
	}
}

func earlier(a, b time.Time) time.Time {
	if b.Before(a) {
		return b
	}
	return a
}

var (
	errTurnedAway = errors.New("the guest does not take connections yet")
	errSilent     = errors.New("the guest does not answer yet")
)

// try connects once, waits for the first bytes and tells what came of it.
func (r *Relay) try(ctx context.Context, patience time.Duration, tell func(attempt)) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	target, err := r.o.Target(ctx)
	if err != nil {
		tell(attempt{err: err})
		return
	}
	conn, err := new(net.Dialer).DialContext(ctx, "tcp", target.Address)
	if err != nil {
		tell(attempt{err: fmt.Errorf("connecting to the guest: %w", err)})
		return
	}
	keep := context.AfterFunc(ctx, func() { conn.Close() })
	first := make([]byte, 4)
	_, err = io.ReadFull(conn, first)
	switch {
	case !keep():
		err = errSilent
	case errors.Is(err, io.EOF) || errors.Is(err, syscall.ECONNRESET):
		err = errTurnedAway
	case err != nil:
		err = fmt.Errorf("waiting for the guest's sshd: %w", err)
	case string(first) != "SSH-":
		err = fmt.Errorf("waiting for the guest's sshd: %s says %q instead", target.Address, first)
	}
	a := attempt{conn: &heard{Conn: conn, first: bytes.NewReader(first)}, target: target, err: err}
	if err != nil {
		a.close()
	}
	tell(a)
}

func (a attempt) close() {
	if a.conn != nil {
		a.conn.Close()
	}
}

// heard is a connection whose first bytes were read already. It remembers that it broke.
type heard struct {
	net.Conn
	first *bytes.Reader
	broke func()
}

func (h *heard) Read(p []byte) (int, error) {
	if h.first.Len() > 0 {
		return h.first.Read(p)
	}
	n, err := h.Conn.Read(p)
	if err != nil && h.broke != nil {
		h.broke()
	}
	return n, err
}

func (h *heard) Write(p []byte) (int, error) {
	n, err := h.Conn.Write(p)
	if err != nil && h.broke != nil {
		h.broke()
	}
	return n, err
}

// handshake logs in.
func (r *Relay) handshake(ctx context.Context, conn *heard, target Target) (*link, error) {
	defer context.AfterFunc(ctx, func() { conn.Close() })()
	l := &link{gone: make(chan struct{})}
	conn.broke = l.lose
	config, err := r.config(target)
	if err == nil {
		err = conn.SetDeadline(time.Now().Add(handshakes))
	}
	if err != nil {
		conn.Close()
		return nil, err
	}
	c, channels, requests, err := ssh.NewClientConn(conn, target.Address, config)
	if err != nil {
		conn.Close()
		return nil, fmt.Errorf("logging in to the guest: %w", err)
	}
	if err := conn.SetDeadline(time.Time{}); err != nil {
		c.Close()
		return nil, err
	}
	l.client = ssh.NewClient(c, channels, requests)
	return l, nil
}

func (r *Relay) config(target Target) (*ssh.ClientConfig, error) {
	text, err := os.ReadFile(target.Key)
	if err != nil {
		return nil, fmt.Errorf("reading the guest's key: %w", err)
	}
	key, err := ssh.ParsePrivateKey(text)
	if err != nil {
		return nil, fmt.Errorf("reading the guest's key %s: %w", target.Key, err)
	}
	known, err := r.knownKey()
	if err != nil {
		return nil, err
	}
	algorithms := []string{known.Type()}
	if known.Type() == ssh.KeyAlgoRSA { // which signs under other names
		algorithms = []string{ssh.KeyAlgoRSASHA256, ssh.KeyAlgoRSASHA512}
	}
	return &ssh.ClientConfig{
		Config: ssh.Config{
			Ciphers:      r.o.Ciphers,
			KeyExchanges: []string{ssh.KeyExchangeCurve25519, ssh.KeyExchangeMLKEM768X25519, ssh.KeyExchangeECDHP256},
		},
		User:              target.User,
		Auth:              []ssh.AuthMethod{ssh.PublicKeys(key)},
		HostKeyAlgorithms: algorithms,
		HostKeyCallback:   func(_ string, _ net.Addr, got ssh.PublicKey) error { return r.same(known, got) },
	}, nil
}

// knownKey is the guest's key: the side that starts the machine has made it.
func (r *Relay) knownKey() (ssh.PublicKey, error) {
	text, err := os.ReadFile(r.o.HostKey)
	if err == nil {
		var key ssh.PublicKey
		if key, _, _, _, err = ssh.ParseAuthorizedKey(text); err == nil {
			return key, nil
		}
	}
	return nil, hint.With(fmt.Errorf("reading the guest's host key: %w", cause(err, r.o.HostKey)), restart)
}

// restart is what gives a machine, and its relay, a new host key.
const restart = "linnet vm restart: each start of the virtual machine has a new key"

// cause names the file of an error that does not.
func cause(err error, path string) error {
	var known *fs.PathError
	if errors.As(err, &known) {
		err = known.Err
	}
	return fmt.Errorf("%s: %w", path, err)
}

func (r *Relay) same(known, got ssh.PublicKey) error {
	if bytes.Equal(known.Marshal(), got.Marshal()) {
		return nil
	}
	return hint.With(fmt.Errorf("the guest's host key is %s and not %s, which is in %s", ssh.FingerprintSHA256(got), ssh.FingerprintSHA256(known), r.o.HostKey),
		restart)
}
