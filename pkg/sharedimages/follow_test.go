package sharedimages

import (
	"context"
	"errors"
	"fmt"
	"net"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	contentapi "github.com/containerd/containerd/api/services/content/v1"
	"github.com/containerd/containerd/v2/core/content/proxy"
	"github.com/containerd/containerd/v2/core/events"
	"github.com/containerd/containerd/v2/plugins/services/content/contentserver"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
)

// run runs the keeper until the test ends, or stops it.
func (e *engine) run(t *testing.T) (stop func()) {
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- e.keeper.Run(ctx) }()
	stop = sync.OnceFunc(func() {
		cancel()
		if err := <-ended; !errors.Is(err, context.Canceled) {
			t.Errorf("Run: %v", err)
		}
	})
	t.Cleanup(stop)
	return stop
}

// until waits until a side has these names.
func (e *engine) until(side string, want ...string) {
	e.t.Helper()
	late := time.After(time.Minute)
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for {
		if got := e.names(side); slices.Equal(got, want) {
			return
		}
		select {
		case <-late:
			e.t.Fatalf("%s has %v, want %v; the log has %q", side, e.names(side), want, e.texts())
		case <-tick.C:
		}
	}
}

func TestChangesAreFollowed(t *testing.T) {
	e := newEngine(t)
	before := e.create(first, web, "before")
	stop := e.run(t)
	e.until(second, web+"="+short(before))
	a := e.create(first, app, "a")
	e.until(second, app+"="+short(a), web+"="+short(before))
	b := e.create(second, app, "b")
	e.until(first, app+"="+short(b), web+"="+short(before))
	e.remove(second, app)
	e.until(first, web+"="+short(before))
	e.use(second, web)
	e.remove(first, web)
	e.until(first, web+"="+short(before))
	stop()
	e.same(web + "=" + short(before))
}

// What happens while the stream of events is broken is found when it is there again.
func TestEventsThatWereLost(t *testing.T) {
	e := newEngine(t)
	a := e.create(first, app, "a")
	g := gated{e, make(chan struct{}), make(chan struct{})}
	e.keeper.Client = g
	e.run(t)
	<-g.asked
	g.open <- struct{}{}
	e.until(second, app+"="+short(a))
	for _, broken := range []error{errors.New("connection lost"), nil} {
		e.broken <- broken
		<-g.asked
		e.remove(second, app)
		b := e.create(first, web, "b")
		if got := e.names(second); len(got) != 0 {
			t.Errorf("there are %v without an event", got)
		}
		g.open <- struct{}{}
		e.until(first, web+"="+short(b))
		e.until(second, web+"="+short(b))
		e.remove(first, web)
		e.until(second)
		e.create(first, app, "a")
		e.until(second, app+"="+short(a))
	}
}

// gated has a stream of events that begins when the test lets it.
type gated struct {
	*engine
	asked, open chan struct{}
}

func (g gated) Subscribe(ctx context.Context, filters ...string) (<-chan *events.Envelope, <-chan error) {
	g.asked <- struct{}{}
	<-g.open
	return g.engine.Subscribe(ctx, filters...)
}

// An event can be lost between the subscription and the list.
func TestAllIsListedAgain(t *testing.T) {
	e := newEngine(t)
	e.keeper.Client = deaf{e}
	e.keeper.times.relist, e.keeper.times.interval = time.Millisecond, time.Millisecond
	e.run(t)
	a := e.create(first, app, "a")
	e.until(second, app+"="+short(a))
	b := e.create(second, app, "b")
	e.until(first, app+"="+short(b))
}

// deaf hears of no event.
type deaf struct{ *engine }

func (deaf) Subscribe(context.Context, ...string) (<-chan *events.Envelope, <-chan error) {
	return nil, nil
}

func TestTheOtherEventsAreNotOurs(t *testing.T) {
	e := newEngine(t)
	r := e.keeper.reconciler()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	happened, _ := e.Exchange.Subscribe(ctx, r.filters()...)
	e.create("other", app, "a") // its blobs are events, too
	e.tag(first, ":", e.manifest(first, "b"))
	e.create(second, web, "b")
	e.remove(second, web)
	for range 3 {
		r.note(<-happened)
	}
	if len(r.due) != 1 || !r.due[web].IsZero() || len(e.texts()) != 0 {
		t.Errorf("%v, the log has %q", r.due, e.texts())
	}
	select {
	case event := <-happened:
		t.Errorf("%v", event)
	default:
	}
}

func TestQueue(t *testing.T) {
	now := time.Now()
	q := queue{}
	if _, some := q.wait(); some {
		t.Error("an empty queue has something")
	}
	q.add("c", now.Add(time.Hour))
	q.add("b", now)
	q.add("a", now)
	q.add("event", time.Time{})
	q.add("event", now)
	var got []string
	for {
		name, ok := q.next()
		if !ok {
			break
		}
		got = append(got, name)
	}
	if want := []string{"event", "a", "b"}; !slices.Equal(got, want) {
		t.Errorf("%v, want %v", got, want)
	}
	if wait, some := q.wait(); !some || wait < 59*time.Minute {
		t.Errorf("%v, %v", wait, some)
	}
}

func TestBackoff(t *testing.T) {
	var got []time.Duration
	for _, failures := range []int{0, 1, 5, 6, 1000} {
		got = append(got, defaultTimes.backoff(failures))
	}
	want := []time.Duration{time.Second, 2 * time.Second, 32 * time.Second, time.Minute, time.Minute}
	if !slices.Equal(got, want) {
		t.Errorf("%v, want %v", got, want)
	}
}

// The daemon's writers are remote: they answer as the database's do.
func TestBlobsAreSharedThroughTheDaemonsAPI(t *testing.T) {
	e := newEngine(t)
	socket := filepath.Join(t.TempDir(), "s")
	l, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	server := grpc.NewServer()
	contentapi.RegisterContentServer(server, contentserver.New(e.content))
	go func() { _ = server.Serve(l) }()
	t.Cleanup(server.Stop)
	conn, err := grpc.NewClient("unix:"+socket, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	var want []string
	for i := range 3 {
		name := fmt.Sprintf("registry.example/team/app:v%02d", i)
		want = append(want, name+"="+short(e.create(first, name, fmt.Sprint(i))))
	}
	direct := e.content
	e.content = noWrites{proxy.NewContentStore(conn)}
	e.reconcile()
	e.content = direct
	e.same(want...)
}
