package lens

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
)

// Document is the reference of all checks as Markdown: what follows the page's introduction.
func Document() string {
	var b strings.Builder
	b.WriteString("## See which questions are answered\n\n")
	b.WriteString("The ids are those of the AWS Well-Architected Container Build Lens of October 2022; what each is about is said in our words. Ids in\ncapital letters are BuildKit's rules.\n\n")
	b.WriteString("| question | about | checks |\n| --- | --- | --- |\n")
	for _, q := range Questions {
		fmt.Fprintf(&b, "| %s | %s | %s |\n", q.ID, q.About, cmp.Or(links(idsOf(q.ID, nil), rulesOf(q.ID)), "none: "+q.None))
	}
	b.WriteString("\n## See which practices are checked\n\n| practice | checks |\n| --- | --- |\n")
	for _, p := range Practices {
		fmt.Fprintf(&b, "| %s | %s |\n", p.Text, cmp.Or(links(idsOf("", &p), p.Rules), "none: "+p.None))
	}
	b.WriteString("\n## Look a check up\n")
	for _, c := range Checks() {
		fmt.Fprintf(&b, "\n### %s\n\n%s. A finding is %s of the %s.%s\n\n%s\n\nFix: %s.%s\n", c.ID, c.Title, article(c.Level), c.LooksAt(), asked(c.Questions), c.Why, code(c.Fix), more(c.URL))
	}
	b.WriteString("\n### BuildKit's rules\n\nThey are warnings, and are given levels and ignored by their names like all others: `" + strings.Join(RuleIDs, "`, `") + "`.\nSee https://docs.docker.com/reference/build-checks/.\n")
	return b.String()
}

// idsOf are the checks of a question, or of a practice.
func idsOf(question string, practice *Practice) (ids []string) {
	for _, c := range Checks() {
		if question != "" && slices.Contains(c.Questions, question) || practice != nil && slices.Contains(c.Practices, practice.ID) {
			ids = append(ids, c.ID)
		}
	}
	return ids
}

func rulesOf(question string) (ids []string) {
	for _, id := range RuleIDs {
		if slices.Contains(questionsOfRules[id], question) {
			ids = append(ids, id)
		}
	}
	return ids
}

func links(ids, rules []string) string {
	var all []string
	for _, id := range ids {
		all = append(all, fmt.Sprintf("[%s](#%s)", id, id))
	}
	return strings.Join(append(all, rules...), ", ")
}

func article(l Level) string {
	if l == Warning {
		return "a warning"
	}
	return "an " + map[Level]string{Info: "information", Error: "error"}[l]
}

func asked(questions []string) string {
	if len(questions) == 0 {
		return ""
	}
	return " Asked by " + strings.Join(questions, ", ") + "."
}

// code is a text in which what is to be typed is not taken for Markdown.
func code(text string) string {
	return strings.NewReplacer("*", `\*`, "<", `\<`, "_", `\_`).Replace(text)
}

func more(url string) string {
	if url == "" {
		return ""
	}
	return " More: " + url
}
