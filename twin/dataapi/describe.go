package dataapi

import (
	"context"
	"fmt"
)

type idRequest struct {
	Id              string
	WaitTimeSeconds *int
}

type describeResponse struct {
	Id                string
	Status            string
	Error             string `json:",omitzero"`
	Duration          int64
	CreatedAt         epoch
	UpdatedAt         epoch
	HasResultSet      bool
	ResultRows        int64
	ResultSize        int64
	ResultFormat      string
	RedshiftPid       uint32
	RedshiftQueryId   int64
	RedshiftQueryUuid string      `json:",omitzero"`
	QueryString       string      `json:",omitzero"`
	QueryParameters   []parameter `json:",omitzero"`
	SessionId         string      `json:",omitzero"`
	ExecutionMode     string      `json:",omitzero"`
	ClusterIdentifier string      `json:",omitzero"`
	WorkgroupName     string      `json:",omitzero"`
	Database          string
	DbUser            string         `json:",omitzero"`
	SubStatements     []subStatement `json:",omitzero"`
}

type subStatement struct {
	Id                string
	Status            string
	Error             string `json:",omitzero"`
	Duration          int64
	CreatedAt         epoch
	UpdatedAt         epoch
	QueryString       string
	ResultRows        int64
	ResultSize        int64
	RedshiftQueryId   int64
	RedshiftQueryUuid string `json:",omitzero"`
	HasResultSet      bool
}

func (h *Handler) describeStatement(ctx context.Context, caller Caller, body []byte) (any, error) {
	request, err := decode[idRequest](body)
	if err != nil {
		return nil, err
	}
	st, p, err := h.locate(caller, request.Id, "DescribeStatement")
	if err != nil {
		return nil, err
	}
	done := st.done
	if p != nil {
		done = p.done
	}
	if err := h.wait(ctx, st, done, request.WaitTimeSeconds); err != nil {
		return nil, err
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	return describe(st, p), nil
}

func (h *Handler) locate(caller Caller, id, action string) (*statement, *piece, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.find(caller, id, action)
}

// describe tells about a statement, or one of a batch. The mutex is held.
func describe(st *statement, p *piece) describeResponse {
	d := describeResponse{
		Id: st.id, Status: st.status, Error: st.failure, Duration: st.duration.Nanoseconds(), CreatedAt: epoch(st.created), UpdatedAt: epoch(st.updated),
		HasResultSet: st.hasResult(), ResultRows: -1, ResultSize: -1, ResultFormat: st.format, RedshiftPid: st.pid,
		QueryParameters: st.parameters, ExecutionMode: st.mode, ClusterIdentifier: st.target.cluster, WorkgroupName: st.target.workgroup,
		Database: st.target.database, DbUser: st.target.user,
	}
	if st.session != nil {
		d.SessionId = st.session.id
	}
	switch {
	case p != nil:
		d.Id, d.Status, d.Error, d.Duration = p.id, p.status, p.failure, p.duration.Nanoseconds()
		d.CreatedAt, d.UpdatedAt = epoch(p.created), epoch(p.updated)
		d.describeResult(p)
	case !st.batch:
		d.describeResult(st.pieces[0])
	default:
		d.RedshiftQueryId = -1
		for _, p := range st.pieces {
			d.SubStatements = append(d.SubStatements, subStatement{
				Id: p.id, Status: p.status, Error: p.failure, Duration: p.duration.Nanoseconds(), CreatedAt: epoch(p.created), UpdatedAt: epoch(p.updated),
				QueryString: p.sql, ResultRows: p.rows, ResultSize: p.size(), RedshiftQueryId: p.queryID, RedshiftQueryUuid: p.queryUUID, HasResultSet: p.hasResult,
			})
		}
	}
	return d
}

func (d *describeResponse) describeResult(p *piece) {
	d.QueryString, d.HasResultSet = p.sql, p.hasResult
	d.ResultRows, d.ResultSize = p.rows, p.size()
	d.RedshiftQueryId, d.RedshiftQueryUuid = p.queryID, p.queryUUID
}

type resultRequest struct {
	Id              string
	NextToken       string
	WaitTimeSeconds *int
}

func (h *Handler) getStatementResult(ctx context.Context, caller Caller, body []byte) (any, error) {
	return h.result(ctx, caller, body, "JSON")
}

func (h *Handler) getStatementResultV2(ctx context.Context, caller Caller, body []byte) (any, error) {
	return h.result(ctx, caller, body, "CSV")
}

// result answers with one page.
func (h *Handler) result(ctx context.Context, caller Caller, body []byte, format string) (any, error) {
	request, err := decode[resultRequest](body)
	if err != nil {
		return nil, err
	}
	st, p, err := h.locate(caller, request.Id, "GetStatementResult")
	if err != nil {
		return nil, err
	}
	number, err := h.openToken(request.NextToken, caller, request.Id)
	if err != nil {
		return nil, err
	}
	if st.format != format {
		return nil, validation("The result format of this statement is %s: use %s", st.format, map[string]string{"JSON": "GetStatementResult", "CSV": "GetStatementResultV2"}[st.format])
	}
	done := st.done
	if p != nil {
		done = p.done
	}
	if err := h.wait(ctx, st, done, request.WaitTimeSeconds); err != nil {
		return nil, err
	}
	result := h.ready(st, p)
	if result == nil {
		return nil, noResult(request.Id)
	}
	return h.page(result, number, caller, request.Id, format)
}

// ready is the result of a finished statement, nil where there is none, or not yet. The result
// of a batch is asked for by the id of one of its statements.
func (h *Handler) ready(st *statement, p *piece) *result {
	h.mu.Lock()
	defer h.mu.Unlock()
	switch {
	case p != nil && p.status == finished:
		return p.result
	case p == nil && !st.batch && st.status == finished:
		return st.pieces[0].result
	default:
		return nil
	}
}

func (h *Handler) page(r *result, number int, caller Caller, id, format string) (any, error) {
	records, err := r.read(number)
	if err != nil {
		return nil, fmt.Errorf("page %d of %s: %w", number+1, id, err)
	}
	answer := pageAnswer{records: records, columns: r.columns, total: r.rows, csv: format == "CSV"}
	if number+1 < len(r.pages) {
		answer.next = h.sealToken(number+1, caller, id)
	}
	return answer, nil
}

// cancelStatement stops a statement in the database. It answers when it was asked to stop, not
// when it has stopped.
func (h *Handler) cancelStatement(_ context.Context, caller Caller, body []byte) (any, error) {
	request, err := decode[struct{ Id string }](body)
	if err != nil {
		return nil, err
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	st, p, err := h.find(caller, request.Id, "CancelStatement")
	if err != nil {
		return nil, err
	}
	if p != nil {
		return nil, validation("A statement of a batch cannot be cancelled by itself: cancel %s", st.id)
	}
	if final(st.status) {
		return nil, validation("Could not cancel a query that is already in %s state with ID: %s", st.status, st.id)
	}
	st.cancel()
	return struct{ Status bool }{true}, nil
}
