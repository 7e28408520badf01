// Reads what a grub.cfg boots: its menu entries with their kernels and command lines, and the
// dm-verity table on these.

package image

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// Limits of a grub.cfg, which may set each variable to twice the last one: real ones have a few
// entries of at most 4 KiB, the longest command line that a kernel takes.
const (
	maxGrubText    = 4 << 20 // bytes of all words, with variables replaced, and of all titles
	maxGrubEntries = 100
	maxGrubName    = 256 // bytes of a variable's name in braces
)

// BootEntry is one way to boot. Variables that grub.cfg itself sets are replaced; others stay as
// $name.
type BootEntry struct {
	Title       string `json:"title"`
	Kernel      string `json:"kernel"`       // in GRUB's notation: "($root)/vmlinuz"
	CommandLine string `json:"command_line"` // without the kernel
}

// ParseGrub returns the menu entries of a grub.cfg; a linux command outside of any entry makes one
// without a title. It understands the commands that configure a boot (set, menuentry, linux) and
// those that have no part in which kernel is started; it executes nothing. The error is that the
// configuration exceeds a limit, that GRUB could not read it, or, beside the entries, that it has
// other commands, which may start something else.
func ParseGrub(config string) ([]BootEntry, error) {
	var entries []BootEntry
	g := grub{text: config, vars: map[string]string{}, left: maxGrubText}
	title, unknown := "", error(nil)
	for g.text != "" {
		words, err := g.command()
		if err != nil {
			return nil, err
		}
		if len(words) == 0 {
			continue
		}
		switch words[0] {
		case "}":
			title = ""
		case "set":
			for _, word := range words[1:] {
				if name, value, ok := strings.Cut(word, "="); ok {
					g.vars[name] = value
				}
			}
		case "menuentry":
			if len(words) > 1 {
				title = words[1]
			}
		case "linux", "linuxefi", "linux16":
			if len(words) < 2 {
				continue
			}
			if len(entries) == maxGrubEntries {
				return nil, fmt.Errorf("it has more than %d ways to boot: remove some", maxGrubEntries)
			}
			g.left -= len(title) // each entry of a menu entry is reported with its title
			line := strings.Join(quoteWords(words[2:]), " ")
			entries = append(entries, BootEntry{title, words[1], line})
		default:
			unknown = cmp.Or(unknown, g.other(words))
		}
	}
	return entries, unknown
}

// harmless are commands that do not change which kernel is started, and how.
var harmless = []string{
	"boot", "clear", "echo", "export", "halt", "initrd", "initrd16", "initrdefi", "insmod", "reboot",
	"serial", "sleep", "terminal_input", "terminal_output", "true",
}

// other handles the commands that start nothing.
func (g *grub) other(words []string) error {
	switch words[0] {
	case "probe", "search", "regexp":
		for i, word := range words[1:] {
			name, set := strings.CutPrefix(word, "--set=")
			if at := strings.LastIndexByte(name, ':'); at >= 0 { // of a part of what matches
				name = name[at+1:]
			}
			if word == "--set" || word == "-s" || set && name == "root" {
				return fmt.Errorf("its command %q may change where the kernel comes from",
					strings.Join(words[:i+2], " "))
			}
			if set {
				delete(g.vars, name)
			}
		}
		return nil
	}
	if slices.Contains(harmless, words[0]) {
		return nil
	}
	return fmt.Errorf("it has the command %q, which may start something else than what is listed",
		words[0])
}

// grub is what of a grub.cfg is still to be read, and what has been set so far.
type grub struct {
	text string
	vars map[string]string
	left int // bytes that words may still have; negative if there were more
}

// command reads the words of the next line like GRUB's lexer (grub-core/script/yylex.l): both kinds
// of quotes, backslashes, comments, and variables. A line goes on after a backslash at its end,
// inside double quotes too, and inside quotes it goes on anyway.
func (g *grub) command() (words []string, err error) {
	var word strings.Builder
	started, quote := false, byte(0)
	end := func() {
		if started {
			words = append(words, word.String())
		}
		word.Reset()
		started = false
	}
	for g.text != "" {
		if g.left--; g.left < 0 {
			return nil, fmt.Errorf("its variables expand to more than %d MiB: write them out, or "+
				"shorten them", maxGrubText>>20)
		}
		c, n := g.text[0], 1
		switch {
		case quote == '\'' && c != '\'':
			word.WriteByte(c)
		case c == '\\':
			var text string
			text, n = grubEscape(g.text, quote != 0)
			word.WriteString(text)
			started = started || text != ""
		case c == quote && quote != 0:
			quote = 0
		case quote == 0 && (c == '"' || c == '\''):
			quote, started = c, true
		case c == '$':
			n = g.expand(&word, g.text)
			started = true
		case quote == 0 && (c == '\n' || c == ';'):
			g.text = g.text[1:]
			end()
			return words, nil
		case quote == 0 && (c == ' ' || c == '\t' || c == '\r'):
			end()
		case quote == 0 && c == '#' && !started:
			n = len(g.text)
			if i := strings.IndexByte(g.text, '\n'); i >= 0 {
				n = i
			}
		default:
			word.WriteByte(c)
			started = true
		}
		g.text = g.text[n:]
	}
	if quote != 0 {
		return nil, fmt.Errorf("a %c has no counterpart: GRUB reads nothing of it", quote)
	}
	end()
	return words, nil
}

// grubEscape returns what a backslash at the start of text and what follows it stand for, and their
// length. In double quotes it only stands before what is special there.
func grubEscape(text string, quoted bool) (value string, length int) {
	switch {
	case len(text) == 1:
		return `\`, 1
	case text[1] == '\n':
		return "", 2
	case quoted && !strings.ContainsRune("\"\\$", rune(text[1])):
		return text[:2], 2
	}
	return text[1:2], 2
}

// expand writes the value of the variable at the start of text, or its name if it has none, and
// returns how many bytes of text it stands for.
func (g *grub) expand(word *strings.Builder, text string) int {
	name, length := grubVariable(text[1:])
	value, ok := g.vars[name]
	if !ok {
		value = text[:1+length]
	}
	if g.left -= len(value); g.left >= 0 {
		word.WriteString(value)
	}
	return 1 + length
}

// grubVariable returns the name at the start of text, which follows a $, and its length in bytes
// with braces.
func grubVariable(text string) (name string, length int) {
	if strings.HasPrefix(text, "{") {
		if end := strings.IndexByte(text[:min(len(text), maxGrubName)], '}'); end > 0 {
			return text[1:end], end + 1
		}
	}
	for length < len(text) && (text[length] == '_' || text[length] >= '0' && text[length] <= '9' ||
		text[length]|0x20 >= 'a' && text[length]|0x20 <= 'z') {
		length++
	}
	return text[:length], length
}

// quoteWords puts the quotes that the kernel expects around values with spaces.
func quoteWords(words []string) []string {
	var quoted []string
	for _, word := range words {
		if strings.ContainsAny(word, " \t") {
			if name, value, ok := strings.Cut(word, "="); ok {
				word = name + `="` + value + `"`
			} else {
				word = `"` + word + `"`
			}
		}
		quoted = append(quoted, word)
	}
	return quoted
}

// VerityTable is the part of a kernel command line that describes the hash tree of the root.
type VerityTable struct {
	DataDevice string
	HashDevice string
	DataBlocks int64 // of 4096 bytes
	RootHash   string
	Salt       string
}

// Verity finds the dm-verity table on the command line (kernel documentation,
// device-mapper/verity.rst and dm-init.rst):
//
//	verity <version> <data device> <hash device> <data block size> <hash block size>
//		<data blocks> <hash block> <algorithm> <root hash> <salt>
func (b BootEntry) Verity() (VerityTable, bool) {
	_, table, found := strings.Cut(b.CommandLine, "dm-mod.create=")
	fields := strings.Fields(table)
	for i := range fields {
		if !found || fields[i] != "verity" || len(fields) < i+11 {
			continue
		}
		blocks, err := strconv.ParseInt(fields[i+6], 10, 64)
		if err != nil {
			return VerityTable{}, false
		}
		return VerityTable{DataDevice: fields[i+2], HashDevice: fields[i+3], DataBlocks: blocks,
			RootHash: fields[i+9], Salt: strings.TrimRight(fields[i+10], `"`)}, true
	}
	return VerityTable{}, false
}
