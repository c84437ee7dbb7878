package pages_test

import (
	"math"
	"os"
	"regexp"
	"strconv"
	"strings"
	"testing"
)

// TestContrast computes WCAG 2.2's contrast (§1.4.3, §1.4.11) of each text on each ground it
// stands on, in both color schemes.
func TestContrast(t *testing.T) {
	t.Parallel()
	style, err := os.ReadFile("assets/style.css")
	if err != nil {
		t.Fatal(err)
	}
	light, rest, ok := strings.Cut(string(style), "@media (prefers-color-scheme: dark)")
	if !ok {
		t.Fatal("no dark scheme in the style sheet")
	}
	dark, _, _ := strings.Cut(rest, "*, *::before")
	for scheme, block := range map[string]string{"light": light, "dark": dark} {
		color := variables(block)
		for _, pair := range []struct {
			text, ground string
			least        float64
		}{
			{"ink", "ground", 7},
			{"ink", "card", 7},
			{"soft", "ground", 4.5},
			{"soft", "card", 4.5},
			{"accent", "card", 4.5},
			{"accent", "ground", 4.5},
			{"accent", "tint", 4.5},
			{"accent-strong", "tint", 4.5},
			{"accent-strong", "card", 4.5},
			{"on-accent", "accent", 4.5},
			{"on-accent", "accent-strong", 4.5},
			{"amber", "amber-tint", 4.5},
			{"amber", "card", 4.5},
			{"red", "card", 4.5},
			{"red", "red-tint", 4.5},
			{"edge", "card", 3},
			{"accent", "card", 3},
		} {
			text, ground := color[pair.text], color[pair.ground]
			if text == nil || ground == nil {
				t.Errorf("%s: --%s or --%s is not set", scheme, pair.text, pair.ground)
				continue
			}
			if got := contrast(*text, *ground); got < pair.least {
				t.Errorf("%s: --%s on --%s has a contrast of %.2f, want %.1f", scheme, pair.text, pair.ground, got, pair.least)
			}
		}
	}
}

var variable = regexp.MustCompile(`--([a-z-]+):\s*#([0-9a-f]{6})`)

// variables reads the colors of a block as relative luminance.
func variables(block string) map[string]*float64 {
	colors := map[string]*float64{}
	for _, match := range variable.FindAllStringSubmatch(block, -1) {
		rgb, err := strconv.ParseUint(match[2], 16, 32)
		if err != nil {
			continue
		}
		luminance := 0.2126*linear(rgb>>16) + 0.7152*linear(rgb>>8&0xff) + 0.0722*linear(rgb&0xff)
		colors[match[1]] = &luminance
	}
	return colors
}

// linear undoes sRGB's gamma for one channel.
func linear(channel uint64) float64 {
	c := float64(channel) / 255
	if c <= 0.04045 {
		return c / 12.92
	}
	return math.Pow((c+0.055)/1.055, 2.4)
}

func contrast(a, b float64) float64 { return (max(a, b) + 0.05) / (min(a, b) + 0.05) }
