"""The data that packages exchange or store: records, Arrow tables, options and errors. Imports no other package of ours."""
