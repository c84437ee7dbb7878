package stargazer

import (
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
)

// A chart is drawn on the server as SVG: no script, and a screen reader finds the same numbers
// in the table. Widths are percentages, so that text keeps its size on a phone.
type chart struct {
	Title   string // "revenue by eventname"
	Summary string // what a person would see in it, for one who cannot
	Lines   bool   // dates along the bottom; otherwise bars, one below the other
	Height  int
	Bars    []bar
	Points  []point
	Path    string // of the line, in a field of 1000 × 1000
	Grid    []grid
	Ticks   []tick
}

type bar struct {
	Label, Value  string
	Width         string // percent
	TextY, BarTop int
}

type point struct{ X, Y string }

type grid struct {
	Label    string
	Y, TextY string
}

type tick struct{ Label, X, Anchor string }

// The sizes of a chart, in pixels.
const (
	barStep    = 44
	lineHeight = 240
	lineTop    = 24
	lineBottom = 30
)

// The fewest and the most rows that make a picture.
const (
	chartLeast = 2
	chartMost  = 60
)

// chartOf draws a result that suits a picture: a first column of names or dates, exactly one
// column of numbers, no gaps. Nil for any other.
func chartOf(columns []column, rows [][]cell) *chart {
	value := onlyNumber(columns)
	if value < 0 || len(rows) < chartLeast || len(rows) > chartMost {
		return nil
	}
	labels, numbers := make([]string, len(rows)), make([]float64, len(rows))
	for i, row := range rows {
		number, err := strconv.ParseFloat(row[value].Text, 64)
		if err != nil || row[0].Null || row[value].Null || !drawable(number) {
			return nil
		}
		labels[i], numbers[i] = row[0].Text, number
	}
	c := &chart{Title: columns[value].Name + " by " + columns[0].Name}
	if columns[0].isDate() {
		forward(labels, numbers)
		c.drawLine(labels, numbers)
	} else if !c.drawBars(labels, numbers) {
		return nil
	}
	c.Summary = summary(labels, numbers, c.Lines)
	return c
}

// drawable leaves out what is no number, and sizes at which an axis loses its steps.
func drawable(number float64) bool {
	size := math.Abs(number)
	return size == 0 || 1e-9 < size && size < 1e15
}

// onlyNumber finds the one column of numbers behind the first column, or -1.
func onlyNumber(columns []column) int {
	found := -1
	for i, column := range columns {
		switch {
		case !column.Number():
		case i == 0 || found >= 0:
			return -1
		default:
			found = i
		}
	}
	return found
}

// drawBars makes one bar a row; false for negative numbers, which a bar from zero cannot show.
func (c *chart) drawBars(labels []string, numbers []float64) bool {
	most := 0.0
	for _, number := range numbers {
		if number < 0 {
			return false
		}
		most = max(most, number)
	}
	for i, number := range numbers {
		width := 0.0
		if most > 0 {
			width = number / most * 100
		}
		c.Bars = append(c.Bars, bar{
			Label: shorten(labels[i], 28), Value: readable(number), Width: percent(width),
			TextY: i*barStep + 16, BarTop: i*barStep + 24,
		})
	}
	c.Height = len(numbers) * barStep
	return true
}

// forward turns a result that has the newest first around, as time runs to the right.
func forward(labels []string, numbers []float64) {
	if labels[0] > labels[len(labels)-1] {
		slices.Reverse(labels)
		slices.Reverse(numbers)
	}
}

// drawLine joins the points in the order of the rows. The field begins at zero unless a number
// lies below: a cut-off axis makes small changes look large.
func (c *chart) drawLine(labels []string, numbers []float64) {
	c.Lines, c.Height = true, lineTop+lineHeight+lineBottom
	low, high := 0.0, 0.0
	for _, number := range numbers {
		low, high = min(low, number), max(high, number)
	}
	step := niceStep(high - low)
	low, high = math.Floor(low/step)*step, math.Ceil(high/step)*step
	if high == low {
		high = low + step
	}
	up := func(number float64) float64 { return (number - low) / (high - low) } // 0 at the bottom, 1 at the top
	pixel := func(number float64) float64 { return lineTop + (1-up(number))*lineHeight }
	var path strings.Builder
	for i, number := range numbers {
		x := float64(i) / float64(len(numbers)-1)
		fmt.Fprintf(&path, "%.1f,%.1f ", x*1000, (1-up(number))*1000)
		c.Points = append(c.Points, point{percent(x * 100), fmt.Sprintf("%.1f", pixel(number))})
	}
	c.Path = strings.TrimSpace(path.String())
	for i := range int(math.Round((high-low)/step)) + 1 {
		number := low + float64(i)*step
		c.Grid = append(c.Grid, grid{readable(number), fmt.Sprintf("%.1f", pixel(number)), fmt.Sprintf("%.1f", pixel(number)-6)})
	}
	last := len(labels) - 1
	c.Ticks = []tick{{day(labels[0]), "0%", "start"}, {day(labels[last]), "100%", "end"}}
	if last >= 4 && last%2 == 0 {
		c.Ticks = append(c.Ticks, tick{day(labels[last/2]), "50%", "middle"})
	}
}

// niceStep divides a span into about four steps of 1, 2 or 5 times a power of ten.
func niceStep(span float64) float64 {
	if span <= 0 {
		return 1
	}
	power := math.Pow(10, math.Floor(math.Log10(span/4)))
	for _, factor := range []float64{1, 2, 5} {
		if factor*power*4 >= span {
			return factor * power
		}
	}
	return 10 * power
}

// summary is the chart in a sentence.
func summary(labels []string, numbers []float64, line bool) string {
	least, most := 0, 0
	for i, number := range numbers {
		if number < numbers[least] {
			least = i
		}
		if number > numbers[most] {
			most = i
		}
	}
	name := func(i int) string {
		if line {
			return day(labels[i])
		}
		return labels[i]
	}
	return fmt.Sprintf("%d values. The highest is %s for %s, the lowest %s for %s.",
		len(numbers), readable(numbers[most]), name(most), readable(numbers[least]), name(least))
}

// day cuts the time of midnight off a timestamp.
func day(label string) string {
	return strings.TrimSuffix(strings.TrimSuffix(label, "+00"), " 00:00:00")
}

func percent(number float64) string { return strconv.FormatFloat(number, 'f', 2, 64) + "%" }

// readable writes a number with thousands separated and at most two decimals; with three
// digits where it is less than one.
func readable(number float64) string {
	switch {
	case number < 0:
		return "−" + readable(-number)
	case 0 < number && number < 1:
		return strconv.FormatFloat(number, 'g', 3, 64)
	}
	whole, fraction, _ := strings.Cut(strconv.FormatFloat(math.Abs(number), 'f', 2, 64), ".")
	for i := len(whole) - 3; i > 0; i -= 3 {
		whole = whole[:i] + "," + whole[i:]
	}
	if fraction = strings.TrimRight(fraction, "0"); fraction != "" {
		whole += "." + fraction
	}
	return whole
}

// shorten keeps a label on its line.
func shorten(label string, most int) string {
	letters := []rune(label)
	if len(letters) <= most {
		return label
	}
	return strings.TrimSpace(string(letters[:most-1])) + "…"
}
