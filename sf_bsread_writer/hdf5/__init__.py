"""Rows → columns → chunks → one HDF5 file in SwissFEL's layout."""
