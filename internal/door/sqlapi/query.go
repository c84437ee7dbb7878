package sqlapi

import (
	"net/http"

	"github.com/shiftgrant/shiftgrant/internal/grant"
	"github.com/shiftgrant/shiftgrant/redshift"
)

// query answers POST /v1/query: it waits for the end of the statement, however long the gateway
// lets one run. When the app goes away the statement is cancelled.
func (a *API) query(w http.ResponseWriter, r *http.Request, access *grant.Access) error {
	want, err := readPreference(r)
	if err != nil {
		return err
	}
	q, err := a.readQuery(w, r)
	if err != nil {
		return err
	}
	session, err := a.config.Warehouses.Open(r.Context(), access, q.warehouse)
	if err != nil {
		return err
	}
	defer session.Close()
	session.LimitRows(q.maxRows)
	rows, err := session.Query(r.Context(), redshift.Statement{SQL: q.sql, Parameters: q.parameters})
	if err != nil {
		return err
	}
	w.Header().Set(transportHeader, session.Transport(false))
	return a.stream(w, r, rows, want, "")
}

// warehouseDocument is a warehouse as GET /v1/warehouses tells it.
type warehouseDocument struct {
	Name         string   `json:"name"`
	DisplayName  string   `json:"display_name"`
	Description  string   `json:"description,omitempty"`
	Transport    string   `json:"transport"`
	Region       string   `json:"region,omitempty"`
	Database     string   `json:"database"`
	DatabaseUser string   `json:"database_user"`
	Capabilities []string `json:"capabilities"`
}

// warehouses answers GET /v1/warehouses: those of the grant and no others.
func (a *API) warehouses(w http.ResponseWriter, _ *http.Request, access *grant.Access) error {
	list := []warehouseDocument{}
	for _, info := range a.config.Warehouses.List(access) {
		capabilities := append([]string{}, info.Capabilities...)
		list = append(list, warehouseDocument{
			info.Name, info.DisplayName, info.Description, info.Transport, info.Region, info.Database, info.DatabaseUser, capabilities,
		})
	}
	return writeJSON(w, http.StatusOK, map[string]any{"warehouses": list})
}
