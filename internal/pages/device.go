package pages

import (
	"net/http"
	"time"

	"github.com/shiftgrant/shiftgrant/internal/grant"
)

// Device asks for the code that a device shows.
type Device struct {
	Person   grant.Person
	UserCode string // that a link brought along; shown to be compared
	Problem  string // with the code before; "" for none
	Form     Form
	// SwitchPerson signs the person out and lets another one sign in.
	SwitchPerson Form
}

// PersonInitials stand in for a portrait.
func (d Device) PersonInitials() string { return initials(d.Person.DisplayName()) }

// Device shows the form.
func (p *Pages) Device(w http.ResponseWriter, r *http.Request, status int, page Device) {
	p.show(w, r, status, "device", frame{Title: "Let a device in", Page: &page}, page.Form, page.SwitchPerson)
}

// AskingDevice is what is known of a device that asks for consent.
type AskingDevice struct {
	Address string
	AskedAt time.Time
}

// Time is when it asked, for people.
func (d AskingDevice) Time() string { return d.AskedAt.UTC().Format("15:04 UTC") }

// DeviceAnswered says what became of it.
type DeviceAnswered struct {
	App         string
	Allowed     bool
	Connections string // path of the connected apps
}

// DeviceAnswered shows it.
func (p *Pages) DeviceAnswered(w http.ResponseWriter, r *http.Request, page DeviceAnswered) {
	title := "Nothing was let in"
	if page.Allowed {
		title = "The device is let in"
	}
	p.show(w, r, http.StatusOK, "deviceanswered", frame{Title: title, Page: page})
}

// TooManyCodes is for a person who has entered many codes that no device shows.
func TooManyCodes() Error {
	return Error{
		Title: "Too many wrong codes",
		What:  "You have entered many codes that no device shows, so no more are taken from you for a while.",
		Do:    "Wait some minutes, start again on the device, and enter the code that it shows then.",
	}
}
