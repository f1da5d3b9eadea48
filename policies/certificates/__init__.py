"""Data-asset certificates (公共数据资产凭证): who may do what with which data, until when (docs/spec/certificate.md).

`numbers` names them, `jose`, `sd_jwt` and `status_list` are the published formats that they are issued in.
"""
