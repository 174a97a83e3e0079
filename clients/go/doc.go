// Package optistore is a client of optistore, the storage daemon for the results of optimization runs.
//
// A run is saved while it is computed: [Client.Save] opens an upload, [Writer.Append] adds rows, [Writer.Commit] makes them a
// result. The writer keeps what the daemon has not acknowledged; when the connection or the daemon breaks it reconnects and
// goes on where the daemon is. A solver that crashed opens the same upload id again ([WithUploadID]) and goes on at
// [Writer.NextRow]. [Client.Load] gives the rows back, batch by batch or all at once.
//
// Metadata are the contract's own protobuf messages, of package optistorev1; those that every program needs have short names
// here ([Problem], [Variable], [Result]). What a field means is said there.
//
// A call that fails gives an [*Error], with the gRPC code and the daemon's reason, such as KEY_INVALID. What the program itself
// did wrong, such as a column of the wrong type, is a [*UsageError]; nothing was sent then. A context that ends gives its own
// error, also by errors.Is.
package optistore
