//go:build linux

// picture runs real commands on an engine of its own, in a terminal, and prints the terminal's last state as SVG: the picture in the
// README. What differs from run to run (durations, digests, IDs) is left out of it.
package main

import (
	"bytes"
	_ "embed"
	"fmt"
	"html/template"
	"io"
	"os"
	"os/exec"
	"regexp"
	"strings"

	"github.com/creack/pty"
	"github.com/tonistiigi/vt100"

	"github.com/linnet-dev/linnet/e2e/internal/lab"
)

//go:embed session.sh
var session string

// page draws the terminal with its own background, so that it can be read on a dark page and on a light one.
var page = template.Must(template.New("").Parse(`<svg xmlns="http://www.w3.org/2000/svg" role="img" aria-labelledby="title desc" viewBox="0 0 800 {{.Height}}">
<title id="title">linnet in a terminal</title>
<desc id="desc">An image is built from an example, a container of it serves a directory of the host, a page is fetched from the published port, and an exit code comes through.</desc>
<style>text{font:14px ui-monospace,Menlo,Consolas,monospace;fill:#e6edf3;white-space:pre}.step{fill:#79c0ff}.typed{font-weight:bold}</style>
<rect width="800" height="{{.Height}}" rx="8" fill="#0d1117"/>
{{range .Lines}}<text x="20" y="{{.Y}}"{{with .Class}} class="{{.}}"{{end}} xml:space="preserve">{{.Text}}</text>
{{end}}</svg>
`))

type line struct {
	Text, Class string
	Y           int
}

func main() {
	screen := vt100.NewVT100(60, 91)
	err := record(screen)
	if err == nil {
		err = draw(os.Stdout, screen)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "picture:", err)
		os.Exit(1)
	}
}

// record runs the session on an engine of its own and shows it on the screen.
func record(screen *vt100.VT100) error {
	engine, done, err := lab.Open()
	if err != nil {
		return err
	}
	defer done()
	cmd := exec.Command("bash", "-euc", session)
	cmd.Dir = lab.Root()
	cmd.Env = append(engine.Environ(), "TERM=xterm", "PATH="+lab.Root()+"/bin:"+os.Getenv("PATH"))
	terminal, err := pty.StartWithSize(cmd, &pty.Winsize{Rows: uint16(screen.Height), Cols: uint16(screen.Width - 1)}) // the screen wraps a line that is just as wide
	if err != nil {
		return err
	}
	defer terminal.Close()
	out, _ := io.ReadAll(terminal) // ends with EIO
	if err := cmd.Wait(); err != nil {
		return fmt.Errorf("%w\n%s", err, out)
	}
	_, err = screen.Write(bytes.ReplaceAll(out, []byte("\x1b[0G"), []byte("\r"))) // the one sequence that it does not know
	return err
}

var (
	took  = regexp.MustCompile(` +\d+\.\d+s`)
	named = regexp.MustCompile(`[0-9a-f]{40,}`)
)

// draw writes the screen's rows as SVG. A row has the colour of its first cell.
func draw(w io.Writer, screen *vt100.VT100) error {
	var lines []line
	for y, row := range screen.Content[:screen.UsedHeight()] {
		text := named.ReplaceAllString(took.ReplaceAllString(string(row), ""), "…")
		class := ""
		switch f := screen.Format[y][0]; {
		case f.Intensity == vt100.Bright:
			class = "typed"
		case f.Fg == vt100.Blue:
			class = "step"
		}
		lines = append(lines, line{strings.TrimRight(text, " "), class, 34 + 19*y})
	}
	return page.Execute(w, map[string]any{"Lines": lines, "Height": 19*len(lines) + 36})
}
