package dataapi

import (
	"math"
	"regexp"
	"time"

	"github.com/shiftgrant/shiftgrant/redshift"
)

type executeRequest struct {
	ClusterIdentifier string      `json:",omitempty"`
	WorkgroupName     string      `json:",omitempty"`
	Database          string      `json:",omitempty"`
	DatabaseUser      string      `json:"DbUser,omitempty"`
	SecretARN         string      `json:"SecretArn,omitempty"` // in place of DatabaseUser
	SQL               string      `json:"Sql"`
	Parameters        []parameter `json:",omitempty"`
	StatementName     string      `json:",omitempty"`
	ClientToken       string
	ResultFormat      string
}

type parameter struct {
	Name  string `json:"name"`
	Value string `json:"value"`
}

type executeAnswer struct {
	ID           string `json:"Id"`
	Status       redshift.State
	HasResultSet bool
}

type statementRequest struct {
	ID              string `json:"Id"`
	NextToken       string `json:",omitempty"`
	WaitTimeSeconds int    `json:",omitzero"`
}

type describeAnswer struct {
	ID              string `json:"Id"`
	Status          redshift.State
	Error           string
	HasResultSet    bool
	ResultRows      int64
	ResultSize      int64
	Duration        int64 // nanoseconds
	CreatedAt       seconds
	UpdatedAt       seconds
	RedshiftQueryID int64 `json:"RedshiftQueryId"`
	QueryParameters []parameter
}

type cancelAnswer struct{ Status bool }

// seconds since 1970, with a fraction.
type seconds float64

func (s seconds) time() time.Time {
	if s <= 0 {
		return time.Time{}
	}
	whole, fraction := math.Modf(float64(s))
	return time.Unix(int64(whole), int64(fraction*1e9)).UTC()
}

func (a describeAnswer) execution() redshift.Execution {
	e := redshift.Execution{
		ID: a.ID, State: a.Status, HasResult: a.HasResultSet, RowCount: -1, Bytes: -1,
		CreatedAt: a.CreatedAt.time(), UpdatedAt: a.UpdatedAt.time(),
		Duration: time.Duration(max(a.Duration, 0)), QueryID: max(a.RedshiftQueryID, 0),
	}
	if a.HasResultSet {
		e.RowCount, e.Bytes = a.ResultRows, a.ResultSize
	}
	if a.Status == redshift.Failed {
		e.Error = a.failure()
	}
	return e
}

// failure is the error of a failed statement. With parameters AWS sends other text than was
// written, so that a position in it would mislead.
func (a describeAnswer) failure() *redshift.Error {
	e := parseSQLError(a.Error)
	if len(a.QueryParameters) > 0 {
		e.Position = 0
	}
	return e
}

// statementIDs is the documented pattern of a statement's id; ":n" is part of a batch.
var statementIDs = regexp.MustCompile(`^[a-z0-9]{8}(-[a-z0-9]{4}){3}-[a-z0-9]{12}(:[0-9]+)?$`)
