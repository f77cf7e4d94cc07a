"""What the data is: records, Arrow tables, options and errors. Imports nothing of vidsift's."""
