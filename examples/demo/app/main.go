// guestbook is the demo's web service: it keeps a list of guests in Redis and shows it.
//
//	guestbook            serve on :8080; the database is at $DATABASE, and without one there is no list
//	guestbook sign KEY   print the signature of this very program, made with the key in a file
package main

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	_ "embed"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"log"
	"net/http"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"
)

//go:embed release.txt
var release string

func main() {
	log.SetFlags(0)
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	var err error
	switch args := os.Args[1:]; {
	case len(args) == 0:
		err = serve(ctx, os.Getenv("DATABASE"))
	case len(args) == 2 && args[0] == "sign":
		err = sign(os.Stdout, args[1])
	default:
		err = errors.New("usage: guestbook [sign KEY]")
	}
	if err != nil {
		log.Fatal("guestbook: ", err)
	}
}

// serve answers until ctx ends.
func serve(ctx context.Context, address string) error {
	var db *database
	if address != "" {
		var err error
		// The database may still be starting: compose starts us right behind it.
		if db, err = connect(ctx, address, time.Minute); err != nil {
			return err
		}
	}
	server := &http.Server{Addr: ":8080", Handler: &site{db}, ReadHeaderTimeout: 5 * time.Second}
	go func() {
		<-ctx.Done()
		_ = server.Shutdown(context.WithoutCancel(ctx))
	}()
	log.Print("guestbook: listening on :8080")
	if err := server.ListenAndServe(); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}

type site struct{ db *database }

func (s *site) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.URL.Path == "/health" {
		_, _ = io.WriteString(w, "ok\n")
		return
	}
	page, err := s.page(r)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadGateway)
		return
	}
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	_, _ = io.WriteString(w, page)
}

// page writes the guest that the request names, and reads all of them back.
func (s *site) page(r *http.Request) (string, error) {
	signature, err := os.ReadFile("/guestbook.sig")
	if err != nil {
		signature = []byte("none")
	}
	page := fmt.Sprintf("guestbook, release %s, signed %.16s\n%s\n", strings.TrimSpace(release), signature, os.Getenv("GREETING"))
	if s.db == nil {
		return page + "no database\n", nil
	}
	if guest := r.FormValue("guest"); guest != "" {
		if _, err := s.db.do("RPUSH", "guests", guest); err != nil {
			return "", err
		}
	}
	visits, err := s.db.do("INCR", "visits")
	if err != nil {
		return "", err
	}
	guests, err := s.db.do("LRANGE", "guests", "0", "-1")
	if err != nil {
		return "", err
	}
	return page + fmt.Sprintf("visits: %s\nguests: %s\n", visits[0], strings.Join(guests, ", ")), nil
}

func sign(w io.Writer, keyFile string) error {
	key, err := os.ReadFile(keyFile)
	if err != nil {
		return err
	}
	program, err := os.Executable()
	if err != nil {
		return err
	}
	text, err := os.ReadFile(program)
	if err != nil {
		return err
	}
	mac := hmac.New(sha256.New, key)
	mac.Write(text)
	_, err = fmt.Fprintln(w, hex.EncodeToString(mac.Sum(nil)))
	return err
}
